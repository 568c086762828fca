"""Connections of this machine to where none should go: in a closed network, to anything that is not named (SPEC O6).

What finished within the last minute is seen too, without its program. A connection to one of our ports is somebody
else's and no egress. What is not seen: connections that came and went between two looks and left nothing in the table
(UDP, and TCP that the other end closed), and what passes through an allowed address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.system import Socket
from so8t.operate.monitor.table import MOST_SUSPECTS, Table

WHERE = "serve.monitor.allowed_networks"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """10.0.0.0/8, or one address. Raises ConfigValueInvalid, also for a network with bits of an address in it."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            raise ConfigValueInvalid(where=WHERE, detail=f"{text!r:.80}: 10.0.0.0/8 or 10.0.0.7") from None
    return tuple(found)


def leaving(table: Table, allowed: Sequence[Network]) -> list[Finding]:
    """One finding an address and port. CRITICAL for an address of the internet or for a process of our own, WARNING for
    one of a private network."""
    served = {s.local[1] for s in table.sockets if s.state == "listen"}
    suspects: dict[tuple[str, int], Socket] = {}
    for socket in table.sockets:
        if socket.remote is None or (socket.protocol == "tcp" and socket.local[1] in served):
            continue
        if not _allowed(socket.remote[0], table.here, allowed):
            before = suspects.get(socket.remote)
            if before is None or before.pid is None:  # the row that names a program says more
                suspects[socket.remote] = socket
    return [_finding(table, socket) for socket in list(suspects.values())[:MOST_SUSPECTS]]


def _allowed(address: str, here: frozenset[str], allowed: Sequence[Network]) -> bool:
    if not address or address in here:
        return True
    found = ipaddress.ip_address(address)
    if found.is_loopback or found.is_unspecified:
        return True
    return any(found in network for network in allowed if network.version == found.version)


def _finding(table: Table, socket: Socket) -> Finding:
    assert socket.remote is not None
    address, port = socket.remote
    program, own = table.program(socket.pid), table.own(socket.pid)
    critical = own or ipaddress.ip_address(address).is_global
    facts = {
        "process": program.name, "pid": socket.pid, "user": program.user, "peer": address, "port": port,
        "state": socket.state, "protocol": socket.protocol, "own": own,
    }  # fmt: skip
    subject = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return Finding("egress", Severity.CRITICAL if critical else Severity.WARNING, subject, facts)
