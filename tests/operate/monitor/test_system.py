"""The edge itself: addresses in one spelling, whose child a process is, what the real tables look like to us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import psutil
import pytest

from so8t.operate.monitor.system import descends, plain, this_machine


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("::", "::"),
        ("0:0:0:0:0:0:0:1", "::1"), ("", ""), ("localhost", ""), ("10.0.0.1/8", ""),
    ],
)  # fmt: skip
def test_one_spelling_for_one_address(host: str, address: str) -> None:
    assert plain(host) == address


@pytest.mark.parametrize(
    ("pid", "roots", "expected"),
    [(9, {1}, True), (9, {8}, True), (9, {9}, True), (9, {7}, False), (1, {9}, False), (5, {1}, False), (9, {0}, True)],
)
def test_whose_child_a_process_is(pid: int, roots: set[int], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the server is the first process of a container; 5 has gone, 60 and 61 are each other's parents."""
    parents = {9: 8, 8: 1, 1: 0, 60: 61, 61: 60}

    def process(number: int) -> SimpleNamespace:
        if number not in parents:
            raise psutil.NoSuchProcess(number)
        return SimpleNamespace(ppid=lambda: parents[number])

    monkeypatch.setattr(psutil, "Process", process)
    assert descends(pid, roots) is expected and not descends(60, {1})


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to the administrator only")
def test_the_real_tables() -> None:
    system = this_machine()
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname())),
    ):
        port = server.getsockname()[1]
        found = [s for s in system.sockets() if port in (s.local[1], s.remote and s.remote[1])]
    assert {s.state for s in found} == {"listen", "open"} and all(s.local[0] == "127.0.0.1" for s in found)
    assert {s.pid for s in found if s.state == "listen"} == {os.getpid()}
    assert "127.0.0.1" in system.addresses() and system.own(os.getpid()) and not system.own(1)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert system.own(child.pid) and child.pid in set(system.pids())
        assert system.program(child.pid).parent == os.getpid() and system.program(child.pid).user
        assert "python" in (system.exe(child.pid) or "").lower()
    finally:
        child.communicate(b"\n", timeout=30)
    assert system.program(child.pid).name == "" and system.exe(child.pid) == "" and not system.own(child.pid)
