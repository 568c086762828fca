"""A running office with one agent and one real tool server, whose behaviour a test chooses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tool_server
from agent_files import OWN, Start, little
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import AgentsConfig, ServeConfig


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The tool server's own copy, beside which it notes what it was called with."""
    return Path(shutil.copy(tool_server.__file__, tmp_path / "little.py"))


@pytest.fixture
def start(tmp_path: Path, program: Path) -> Start:
    @contextmanager
    def started(mode: str = "plain", backend: FakeBackend | None = None, **more: object) -> Iterator[Server]:
        folder = tmp_path / "own"
        folder.mkdir(exist_ok=True)
        text = OWN.replace("tools = []", 'tools = ["plan/day"]').replace('["公開", "社内限定"]', "[]")
        (folder / "rules.toml").write_text(text, encoding="utf-8")
        agents = AgentsConfig(str(folder), packaged=False, pins=str(tmp_path / "tools.json"))
        settings = ServeConfig(agents=agents, tools=(little(program, mode, **more),))
        office = tmp_path / f"office{len(list(tmp_path.glob('office*')))}"  # a new ledger each time, the same pins
        office.mkdir()
        with running(office, backend or FakeBackend(SCORES, answer=ANSWER), settings=settings) as server:
            yield server

    return started
