"""Who goes round the gateway: connections to the model's server on this machine that are not ours (SPEC O6).

What this cannot see: connections that come and go between two looks; upstreams on other machines (look there); and,
without the administrator's rights on Linux and macOS, who it is when another user's program connects. It is a watch,
not a wall: the wall is a key that the upstream demands, and a firewall.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.system import Address, plain
from so8t.operate.monitor.table import MOST_SUSPECTS, Table


def bypassing(table: Table, upstreams: Sequence[str]) -> list[Finding]:
    """`upstreams`: their addresses, http(s)://IP:PORT; only those on this machine can be watched. A program is found
    once, however often it is started and however many connections it has."""
    servers = {at for address in upstreams if (at := server(address))[0] in table.here}
    found: dict[str, Finding] = {}
    for socket in table.sockets if servers else ():
        if socket.state != "open" or socket.remote is None:
            continue
        if socket.remote in servers and not table.own(socket.pid):
            client = _finding(table, socket.pid, "", socket.remote)
        elif socket.local in servers and socket.remote[0] not in table.here:
            client = _finding(table, None, socket.remote[0], socket.local)
        else:
            continue
        found.setdefault(client.subject, client)
        if len(found) >= MOST_SUSPECTS:
            break
    return list(found.values())


def server(address: str) -> Address:
    parts = urlsplit(address)
    return plain(parts.hostname or ""), parts.port or (443 if parts.scheme == "https" else 80)


def _finding(table: Table, pid: int | None, peer: str, model: Address) -> Finding:
    program = table.program(pid)
    subject = peer or (f"{program.name} ({program.user})" if program.name else "?")
    facts = {"process": program.name, "pid": pid, "user": program.user, "peer": peer, "model": _shown(model)}
    return Finding("bypass", Severity.WARNING, subject, facts)


def _shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
