"""Who connects to the model's server without the gateway is noted: each program once, and none of ours."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from office_server import build

from so8t.ask.backend import FakeBackend
from so8t.core.errors import LedgerUnavailable
from so8t.core.ledger_read import LedgerReader
from so8t.operate import bypass
from so8t.operate.bypass import Bypass, Client, Connection, Program, System, this_machine

MODEL = ("127.0.0.1", 11434)
PROGRAMS = {77: Program("curl", "sato"), 78: Program("python3", "suzuki"), 10: Program("so8t", "so8t")}


@dataclass
class Fake:
    """A machine with some connections and a clock."""

    now: float = 0.0
    open: list[Connection] = field(default_factory=list)
    error: Exception | None = None

    def connections(self) -> list[Connection]:
        if self.error:
            raise self.error
        return self.open

    def system(self) -> System:
        here = frozenset({"127.0.0.1", "::1", "10.0.0.5"})
        return System(
            self.connections, lambda pid: PROGRAMS.get(pid, Program()), lambda: frozenset({10, 11}), lambda: here
        )


@dataclass
class Gate:
    """A gateway that keeps its notes."""

    notes: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False

    async def note(self, kind: str, body: dict[str, Any]) -> None:
        if self.broken:
            raise LedgerUnavailable(where="ledger")
        assert kind == "error"
        self.notes.append(body)


def client(pid: int | None, port: int = 40001, server: tuple[str, int] = MODEL) -> Connection:
    return Connection(("127.0.0.1", port), server, pid)


def watching(fake: Fake, gate: Gate, *upstreams: str) -> Bypass:
    return Bypass(gate, upstreams or ("http://127.0.0.1:11434",), fake.system(), lambda: fake.now)  # type: ignore[arg-type]


def look(watch: Bypass) -> list[Client]:
    return asyncio.run(watch.look())


def test_a_strangers_connection_becomes_one_note() -> None:
    gate = Gate()
    watch = watching(Fake(open=[client(77)]), gate)
    assert [c.pid for c in look(watch)] == [77]
    assert gate.notes == [
        {"event": "bypass", "actor": "server", "process": "curl", "pid": 77, "user": "sato", "peer": ""}
    ]
    assert (watch.seen, watch.unnamed) == (1, 0)


def test_not_ours_not_other_ports_not_the_servers_own_end() -> None:
    others = [
        client(10), client(11), client(77, server=("127.0.0.1", 11435)), client(77, server=("10.0.0.9", 11434)),
        Connection(MODEL, ("127.0.0.1", 40001), 500),
    ]  # fmt: skip
    assert look(watching(Fake(open=others), Gate())) == []


def test_once_an_hour_however_often_it_connects() -> None:
    gate, fake = Gate(), Fake()
    watch = watching(fake, gate)
    for port in range(100):
        fake.open, fake.now = [client(77, port), client(77, port + 1000)], fake.now + 5
        look(watch)
    assert len(gate.notes) == 1
    fake.open.append(client(78))
    assert [c.pid for c in look(watch)] == [78]
    fake.now += bypass.AGAIN_SECONDS
    assert {c.pid for c in look(watch)} == {77, 78} and watch.seen == 4


def test_others_of_whom_the_system_tells_nothing() -> None:
    gate, fake = Gate(), Fake(open=[client(None, 1), client(None, 2), client(99)])
    watch = watching(fake, gate)
    assert len(look(watch)) == 2 and (watch.seen, watch.unnamed) == (2, 1)
    assert gate.notes[1] | {"pid": None} == gate.notes[0]  # 99 has ended meanwhile: nameless too


def test_another_machine_that_asks_the_model_here() -> None:
    server, gate = ("10.0.0.5", 11434), Gate()
    fake = Fake(open=[Connection(server, ("10.0.0.77", 5000), 500), Connection(server, ("10.0.0.5", 5001), 500)])
    watch = watching(fake, gate, "http://10.0.0.5:11434/")
    assert [c.peer for c in look(watch)] == ["10.0.0.77"]
    assert gate.notes[0]["peer"] == "10.0.0.77" and gate.notes[0]["process"] == "" and watch.unnamed == 0


def test_a_model_elsewhere_is_not_looked_for() -> None:
    fake = Fake(open=[client(77, server=("10.0.0.9", 11434))], error=AssertionError("not asked"))
    assert look(watching(fake, Gate(), "http://10.0.0.9:11434")) == []


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("https://127.0.0.1", ("127.0.0.1", 443)), ("http://127.0.0.1", ("127.0.0.1", 80)),
        ("http://[::1]:8080", ("::1", 8080)), ("http://[::ffff:127.0.0.1]:9", ("127.0.0.1", 9)),
    ],
)  # fmt: skip
def test_addresses_in_every_spelling(address: str, server: tuple[str, int]) -> None:
    assert len(look(watching(Fake(open=[client(77, server=server)]), Gate(), address))) == 1


def test_a_ledger_that_cannot_be_written_forgets_nobody() -> None:
    gate, fake = Gate(broken=True), Fake(open=[client(77)])
    watch = watching(fake, gate)
    with pytest.raises(LedgerUnavailable):
        look(watch)
    gate.broken = False
    assert len(look(watch)) == 1 and watch.seen == 1


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError("no /proc")])
def test_a_look_that_saw_nothing_says_so(error: Exception) -> None:
    fake = Fake(open=[client(77)], error=error)
    watch = watching(fake, Gate())
    assert look(watch) == [] and watch.problem == type(error).__name__
    fake.error = None
    assert len(look(watch)) == 1 and watch.problem == ""


def test_many_programs_at_once_do_not_fill_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bypass, "MOST_REMEMBERED", 30)
    gate, fake = Gate(), Fake(open=[client(1000 + n) for n in range(50)])
    watch = watching(fake, gate)
    assert len(look(watch)) == bypass.MOST_NOTES and len(look(watch)) == bypass.MOST_NOTES
    assert len(watch._noted) <= 30


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
    async def main() -> tuple[list[Client], list[Client]]:
        gateway, _, _, ledger, _, authenticator = build(tmp_path, FakeBackend())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        children = Bypass(gateway, [address])
        alone = dataclasses.replace(this_machine(), own=lambda: frozenset({os.getpid()}))
        try:
            with closing(socket.create_connection(listener.getsockname())):  # the gateway's own
                return await children.look(), await Bypass(gateway, [address], alone).look()
        finally:
            authenticator.close()
            ledger.close()

    ours, found = asyncio.run(main())
    assert ours == [] and [c.pid for c in found] == [stranger()]
    (entry,) = LedgerReader(tmp_path / "ledger.db").entries(kinds=["error"])
    assert entry.data["event"] == "bypass" and entry.data["pid"] == stranger() and entry.data["user"]
    assert "python" in entry.data["process"] and "secret-argument" not in str(entry.data)
