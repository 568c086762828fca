"""schemathesis attacks a running server with everything the OpenAPI document allows, and with what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from office_server import ANSWER, SCORES, Server, running
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import ServeConfig
from so8t.operate.server.openapi import document

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    unsupported_method,
]  # fmt: skip
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    with running(folder, FakeBackend(SCORES, answer=ANSWER), settings=ServeConfig()) as started:
        yield started


def test_the_document_names_every_route_of_ours(attacked: Server) -> None:
    import httpx

    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{attacked.address}/openapi.json").json() == document()


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))
def test_nothing_sent_breaks_it(case: Any, attacked: Server) -> None:
    who = "reviewer" if "/reviews" in case.path else "admin"
    case.call_and_validate(base_url=attacked.address, headers=attacked.headers(who), checks=CHECKS)
