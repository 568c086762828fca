"""so8t deploy --to llamacpp: this machine only, a port of its own, nothing started in vain."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from so8t.core.bundle import open_bundle
from so8t.core.errors import BackendDown, BundleBroken, UsageError
from so8t.operate.deploy import llamacpp
from so8t.operate.deploy.llamacpp import loopback_port, serve_until


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(*_: object, **__: object) -> None:
        raise AssertionError("the model was started")

    monkeypatch.setattr(llamacpp, "serve", serve)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"])
def test_loopback(address: str) -> None:
    assert loopback_port(address) == 8080


REFUSED = (
    "0.0.0.0:8080", "192.168.1.5:8080", "localhost:8080", "127.0.0.1", ":8080", "127.0.0.1:", "127.0.0.1:x",
    "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:８０", "[::]:8080", "https://127.0.0.1:8080", "",
)  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--address"):
        loopback_port(address)


def test_a_port_that_is_taken_is_said(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BackendDown, match=address):
            serve_until(open_bundle(bundle), address, "Q8_0", 1, lambda s: None)


def test_a_quantisation_that_is_not_there(bundle: Path) -> None:
    with pytest.raises(BundleBroken, match="Q5_K_M"):
        serve_until(open_bundle(bundle), "127.0.0.1:0", "Q5_K_M", 1, lambda s: None)


def test_a_server_that_ended_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp, "LOOK_SECONDS", 0.05)
    with pytest.raises(BackendDown, match="Refused"):
        llamacpp._watch("http://127.0.0.1:1")
