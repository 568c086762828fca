"""schemathesis attacks a running server with everything the OpenAPI document allows, and with what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from console_server import config
from office_server import ANSWER, POLICY, SCORES, Server, office, running
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import SearchConfig, SearchFolder, ServeConfig
from so8t.operate.search.store import IndexStore
from so8t.operate.server.openapi import document
from so8t.operate.server.run import app_of, office_of

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    unsupported_method,
]  # fmt: skip
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    (folder / "documents").mkdir()
    search = SearchConfig(str(folder / "search.db"), folders=(SearchFolder(str(folder / "documents"), "総務"),))
    IndexStore(Path(search.index), POLICY.levels.names, write=True).close()
    with running(folder, FakeBackend(SCORES, answer=ANSWER), settings=ServeConfig(search=search)) as started:
        yield started


def test_the_document_names_every_route_of_ours(attacked: Server) -> None:
    import httpx

    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{attacked.address}/openapi.json").json() == document()


# Other spellings of what the document has, refusals of Ollama's that change models, and MCP, which describes itself.
ELSEWHERE = {"/openapi.json", "/mcp", "/v1/models/{model:path}", "/v1/completions"}


def test_every_route_of_an_office_is_in_the_document(tmp_path: Path) -> None:
    async def served() -> set[str]:
        settings = config(tmp_path)
        async with office(tmp_path, FakeBackend(SCORES), settings) as running_:
            app = app_of(running_, office_of(running_))
            return {route.path for route in app._app.routes}  # type: ignore[attr-defined]

    paths = {path for path in asyncio.run(served()) if not path.startswith("/api/")}
    assert paths - ELSEWHERE <= document()["paths"].keys()
    assert {"/so8t/v1/minutes", "/so8t/v1/mail", "/so8t/v1/search", "/v1/chat/completions"} <= paths


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))
def test_nothing_sent_breaks_it(case: Any, attacked: Server) -> None:
    who = "reviewer" if "/reviews" in case.path else "admin"
    case.call_and_validate(base_url=attacked.address, headers=attacked.headers(who), checks=CHECKS)
