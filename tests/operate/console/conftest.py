"""The server of tests/support/console_server.py, and browsers of the people in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_browser import Browser
from console_server import Server, serving
from office_server import ANSWER, SCORES

from so8t.ask.backend import FakeBackend

Browse = Callable[..., Browser]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as started:
        yield started


@pytest.fixture
def browse(server: Server) -> Iterator[Browse]:
    """browse(name) -> a browser in which that person is logged in; browse() -> one of a stranger."""
    made: list[Browser] = []

    def opened(name: str = "", **headers: str) -> Browser:
        made.append(Browser(server, **headers))
        if name:
            answer = made[-1].login(name)
            assert answer.status_code == 303, answer.text
        return made[-1]

    yield opened
    for browser in made:
        browser.client.close()
