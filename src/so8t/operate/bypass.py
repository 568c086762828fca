"""Who goes round the gateway: connections to the model's server on this machine that are not ours (SPEC O6).

Every few seconds the system's table of connections is read. Each program seen at the other end of the upstream's port
becomes a ledger entry: its name, number and owner, never its command line, which may hold secrets. What this cannot
see: connections that come and go between two looks; upstreams on other machines (look there); and, without the
administrator's rights on Linux and macOS, who it is when another user's program connects - then it is one of `unnamed`.
It is a watch, not a wall: the wall is a key that the upstream demands, and a firewall.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from so8t.operate.gateway import Gateway

SECONDS = 5.0
AGAIN_SECONDS = 3600.0  # the same program is noted once in this time, however often it connects
MOST_NOTES = 20  # a look: whoever starts hundreds of programs must not fill the ledger
MOST_REMEMBERED = 10_000
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Connection:
    """An established TCP connection as this machine's table shows it. `pid` None: another user's, and not shown."""

    local: Address
    remote: Address
    pid: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """Who a process is. "" for what the system does not tell."""

    name: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """The edge: what is asked of the operating system."""

    connections: Callable[[], Iterable[Connection]]
    program: Callable[[int], Program]
    own: Callable[[], frozenset[int]]
    addresses: Callable[[], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who is not the gateway. `peer`: the other machine's address, or "" for a program of this one."""

    pid: int | None
    program: Program
    peer: str = ""


@dataclass(slots=True)
class Bypass:
    """`upstreams`: their addresses, http(s)://IP:PORT; only those on this machine can be watched.

    `seen` counts clients as they were noted; `unnamed` those among them of whom the system told nothing; `problem`: why
    the last look saw nothing at all, or "".
    """

    gateway: Gateway
    upstreams: Sequence[str]
    system: System = field(default_factory=lambda: this_machine())
    clock: Callable[[], float] = time.monotonic
    seen: int = 0
    unnamed: int = 0
    problem: str = ""
    _noted: dict[Client, float] = field(default_factory=dict, repr=False)

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(SECONDS)

    async def look(self) -> list[Client]:
        """One look; the clients that were noted. Raises LedgerUnavailable, and notes them again at the next look."""
        try:
            found = await asyncio.to_thread(self._clients)
        except (psutil.Error, OSError) as error:
            self.problem = type(error).__name__
            return []
        self.problem = ""
        new = [client for client in found if self._is_new(client)][:MOST_NOTES]
        for client in new:
            await self._note(client)
        return new

    def _clients(self) -> list[Client]:
        here = self.system.addresses()
        servers = {server for address in self.upstreams if (server := _server(address))[0] in here}
        if not servers:
            return []
        own, found = self.system.own(), dict[Client, None]()
        for connection in self.system.connections():
            if connection.remote in servers and connection.pid not in own:
                pid = connection.pid
                found[Client(pid, self.system.program(pid) if pid is not None else Program())] = None
            elif connection.local in servers and connection.remote[0] not in here:
                found[Client(None, Program(), connection.remote[0])] = None
        return list(found)

    def _is_new(self, client: Client) -> bool:
        return self.clock() - self._noted.get(client, float("-inf")) >= AGAIN_SECONDS

    async def _note(self, client: Client) -> None:
        body = {
            "event": "bypass", "actor": "server", "process": client.program.name, "pid": client.pid,
            "user": client.program.user, "peer": client.peer,
        }  # fmt: skip
        await self.gateway.note("error", body)
        if len(self._noted) >= MOST_REMEMBERED:
            self._noted.clear()
        self._noted[client] = self.clock()
        self.seen += 1
        self.unnamed += client.pid is None and not client.peer


def _server(address: str) -> Address:
    parts = urlsplit(address)
    return _plain(parts.hostname or ""), parts.port or (443 if parts.scheme == "https" else 80)


def _plain(host: str) -> str:
    """One spelling for one address: IPv4 inside IPv6 is IPv4, a zone is dropped."""
    try:
        found = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return ""
    inside = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(inside or found)


def _connections() -> list[Connection]:
    return [
        Connection((_plain(c.laddr.ip), c.laddr.port), (_plain(c.raddr.ip), c.raddr.port), c.pid)
        for c in psutil.net_connections("tcp")
        if c.raddr and c.status == psutil.CONN_ESTABLISHED
    ]


def _program(pid: int) -> Program:
    """May have ended meanwhile, or be another user's."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return Program(_said(process.name()), _said(process.username()))
    except (psutil.Error, OSError, KeyError):
        return Program()


def _said(text: str) -> str:
    """A program names itself as it likes, also in bytes that are no text and that no ledger takes."""
    return text.encode("utf-8", "replace").decode()[:100]


def _own() -> frozenset[int]:
    """This server and all that it started."""
    this = psutil.Process()
    return frozenset({this.pid, *(child.pid for child in this.children(recursive=True))})


def _addresses() -> frozenset[str]:
    """All addresses of this machine."""
    found = {_plain(a.address) for several in psutil.net_if_addrs().values() for a in several}
    return frozenset({*found, "127.0.0.1", "::1"} - {""})


def this_machine() -> System:
    return System(_connections, _program, _own, _addresses)
