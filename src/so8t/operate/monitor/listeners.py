"""Ports that listen on this machine and did not when the baseline was taken. TCP only: what UDP listens to, no system
tells apart from what it asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.system import Program, Socket
from so8t.operate.monitor.table import MOST_SUSPECTS, Table

WHERE = "serve.monitor.allowed_listeners"
EPHEMERAL = 32768  # from here on systems give out ports at random: a program is then known without its number


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the configuration: 5432, postgres:5432 or sshd:* . `port` 0 = any; `program` "" = any."""

    program: str
    port: int

    @classmethod
    def of(cls, text: str) -> Allowed:
        """Raises ConfigValueInvalid."""
        program, _, port = text.rpartition(":")
        if port == "*" and program:
            return cls(program, 0)
        if port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16:
            return cls(program, int(port))
        raise ConfigValueInvalid(where=WHERE, detail=f"{text!r:.80}: PORT, PROGRAM:PORT or PROGRAM:*")

    def covers(self, name: str, port: int) -> bool:
        return self.program in ("", name) and self.port in (0, port)


def listening(table: Table, own_port: int) -> Iterator[tuple[Socket, Program, str]]:
    """Every port that somebody else listens on, and the key by which a baseline knows it.

    Of ours `own_port` (0 = any) and what is reached from this machine alone are expected; all else is told.
    """
    for socket in table.sockets:
        if socket.state != "listen":
            continue
        inside = _inside(socket)
        if (inside or own_port in (0, socket.local[1])) and table.own(socket.pid):
            continue
        program = table.program(socket.pid)
        yield socket, program, key(program, inside, socket.local[1])


def key(program: Program, inside: bool, port: int) -> str:
    """A random port of a program that has a name stands for all of them."""
    number = "*" if port >= EPHEMERAL and program.name else str(port)
    return f"{program.name or '?'} {'loopback' if inside else 'network'}:{number}"


def unknown_listeners(
    table: Table, known: Collection[str], allowed: Sequence[Allowed], own_port: int = 0
) -> list[Finding]:
    """INFO for what this machine alone can reach, WARNING for what others can."""
    found: dict[str, Finding] = {}
    for socket, program, name in listening(table, own_port):
        port = socket.local[1]
        if name in known or name in found or any(one.covers(program.name, port) for one in allowed):
            continue
        severity = Severity.INFO if _inside(socket) else Severity.WARNING
        facts = {
            "process": program.name, "pid": socket.pid, "user": program.user, "address": socket.local[0], "port": port,
        }  # fmt: skip
        found[name] = Finding("listener", severity, name, facts)
        if len(found) >= MOST_SUSPECTS:
            break
    return list(found.values())


def _inside(socket: Socket) -> bool:
    address = socket.local[0]
    return bool(address) and ipaddress.ip_address(address).is_loopback
