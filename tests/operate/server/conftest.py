"""The server of tests/support/office_server.py, new for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as started:
        yield started
