"""Who connects to the model's server without the gateway is found: each program once, and none of ours."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fake_machine import Machine
from office_server import build

from so8t.ask.backend import FakeBackend
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import MonitorConfig
from so8t.operate.monitor.bypass import bypassing
from so8t.operate.monitor.finding import Finding
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.system import Program, Socket, System, this_machine
from so8t.operate.monitor.table import MOST_SUSPECTS, Table
from so8t.operate.monitor.watch import Reference, watch_of

MODEL = ("127.0.0.1", 11434)
PROGRAMS = {
    77: Program("curl", "sato"),
    79: Program("curl", "sato"),
    78: Program("python3", "suzuki"),
    10: Program("so8t", "so8t"),
}


def client(pid: int | None, port: int = 40001, server: tuple[str, int] = MODEL) -> Socket:
    return Socket(("127.0.0.1", port), server, "open", pid)


def look(sockets: list[Socket], *upstreams: str) -> list[Finding]:
    machine = Machine(open=sockets, programs=dict(PROGRAMS))
    return bypassing(Table.of(machine.system()), upstreams or ("http://127.0.0.1:11434",))


def test_a_strangers_connection() -> None:
    (finding,) = look([client(77)])
    assert finding.to_json() == {
        "finding": "bypass", "severity": "warning", "subject": "curl (sato)",
        "facts": {"process": "curl", "pid": 77, "user": "sato", "peer": "", "model": "127.0.0.1:11434"},
    }  # fmt: skip


def test_not_ours_not_other_ports_not_the_servers_own_end() -> None:
    others = [
        client(10), client(11), client(77, server=("127.0.0.1", 11435)), client(77, server=("10.0.0.9", 11434)),
        Socket(MODEL, ("127.0.0.1", 40001), "open", 500), Socket(("127.0.0.1", 9), MODEL, "ended"),
        Socket(MODEL, None, "listen", 500),
    ]  # fmt: skip
    assert look(others) == []


def test_once_however_many_connections() -> None:
    assert len(look([client(77, port) for port in range(100)])) == 1
    assert len(look([client(77), client(78)])) == 2
    assert len(look([client(77), client(79)])) == 1  # started anew
    strangers = [Socket(MODEL, (f"10.1.{n // 200}.{n % 200}", 9), "open", 500) for n in range(1000)]
    assert len(look(strangers)) == MOST_SUSPECTS


def test_others_of_whom_the_system_tells_nothing() -> None:
    found = look([client(None, 1), client(None, 2), client(99)])
    assert [f.subject for f in found] == ["?"]  # 99 has ended meanwhile: nameless too


def test_another_machine_that_asks_the_model_here() -> None:
    server = ("10.0.0.5", 11434)
    sockets = [Socket(server, ("10.0.0.77", 5000), "open", 500), Socket(server, ("10.0.0.5", 5001), "open", 500)]
    (finding,) = look(sockets, "http://10.0.0.5:11434/")
    assert finding.subject == finding.facts["peer"] == "10.0.0.77" and finding.facts["process"] == ""
    assert finding.facts["model"] == "10.0.0.5:11434"
    assert look([client(77, server=("::1", 8080))], "http://[::1]:8080")[0].facts["model"] == "[::1]:8080"


def test_a_model_elsewhere_is_not_looked_for() -> None:
    assert look([client(77, server=("10.0.0.9", 11434))], "http://10.0.0.9:11434") == []


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("https://127.0.0.1", ("127.0.0.1", 443)), ("http://127.0.0.1", ("127.0.0.1", 80)),
        ("http://[::1]:8080", ("::1", 8080)), ("http://[::ffff:127.0.0.1]:9", ("127.0.0.1", 9)),
    ],
)  # fmt: skip
def test_addresses_in_every_spelling(address: str, server: tuple[str, int]) -> None:
    assert len(look([client(77, server=server)], address)) == 1


# -- on the real machine, into a real ledger --------------------------------------------------------------------------

STRANGER = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print(flush=True); input()"
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


@pytest.fixture
def stranger(listener: socket.socket) -> Iterator[Callable[[], int]]:
    """A program that connects and stays; it is our child, which the fake of `own` forgets."""
    process = subprocess.Popen(
        [sys.executable, "-c", STRANGER, str(listener.getsockname()[1]), "secret-argument"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == b"\n"
    yield lambda: process.pid
    process.communicate(b"\n", timeout=30)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to the administrator only")
def test_a_real_program_in_a_real_ledger(listener: socket.socket, stranger: Callable[[], int], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def found(system: System) -> list[str]:
        watch = watch_of(
            MonitorConfig(watch=("bypass",)), system, Reference(tmp_path / "state"), upstreams=lambda: [address]
        )
        notices = await Monitor(gateway, watch).look()
        return [notice.finding.kind for notice in notices]

    async def main() -> tuple[list[str], list[str]]:
        alone = dataclasses.replace(this_machine(), own=lambda pid: pid == os.getpid())
        with closing(socket.create_connection(listener.getsockname())):  # the gateway's own
            return await found(this_machine()), await found(alone)

    gateway, _, ledger, _, authenticator = build(tmp_path, FakeBackend())
    try:
        assert asyncio.run(main()) == ([], ["bypass"])
    finally:
        authenticator.close()
        ledger.close()
    (entry,) = LedgerReader(tmp_path / "ledger.db").entries(kinds=["finding"])
    facts = entry.data["facts"]
    assert entry.data["finding"] == "bypass" and facts["pid"] == stranger() and facts["user"]
    assert "python" in facts["process"] and "secret-argument" not in str(entry.data)
