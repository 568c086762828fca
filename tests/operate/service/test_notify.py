"""systemd hears that the server listens, and nobody else is told anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from so8t.operate.service.notify import READY, notify

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets")


@pytest.mark.parametrize("abstract", [False, True])
def test_one_datagram(tmp_path: Path, abstract: bool) -> None:
    name = f"so8t-{tmp_path.name}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(10)
        assert notify(READY, {"NOTIFY_SOCKET": "@" + name if abstract else name})
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("place", ["", "relative", "/nowhere/at/all", "vsock:2:3"])
def test_nobody_to_tell(place: str) -> None:
    assert not notify(READY, {"NOTIFY_SOCKET": place}) and not notify(READY, {})
