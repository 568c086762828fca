"""A running office with agents over real files, accounts and a ledger; only the model behind it is a fake."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_files import OWN, Start
from office_files import LEVELS, OfficeFiles
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import AgentsConfig, SearchConfig, SearchFolder, ServeConfig
from so8t.operate.search.store import IndexStore


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeFiles]:
    root = tmp_path / "files"
    for level in LEVELS:
        (root / level).mkdir(parents=True)
    folders = tuple(SearchFolder(str(root / level), level, level) for level in LEVELS)
    store = IndexStore(tmp_path / "index.db", LEVELS, write=True)
    yield OfficeFiles(root, SearchConfig(str(tmp_path / "index.db"), folders=folders), store)
    store.close()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of the company's own agents, with one."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "rules.toml").write_text(OWN, encoding="utf-8")
    return folder


@pytest.fixture
def start(tmp_path: Path, office: OfficeFiles, own: Path) -> Start:
    """Starts the office; `more`: of its configuration."""

    @contextmanager
    def started(backend: FakeBackend | None = None, **more: object) -> Iterator[Server]:
        settings = ServeConfig(search=office.config, agents=AgentsConfig(str(own)))
        settings = dataclasses.replace(settings, **more)  # type: ignore[arg-type]
        with running(tmp_path, backend or FakeBackend(SCORES, answer=ANSWER), settings=settings) as server:
            yield server

    return started
