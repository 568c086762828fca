"""What every request passes first, as plain ASGI: its Host, a limit on how many at once, and how slowly one may read.

DNS rebinding: a browser sends the name it was led to as Host, so any other than ours is refused (OWASP, W3C). Answers
carry headers that forbid framing, sniffing, caching and any asset from elsewhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from so8t.operate.server.errors import Busy, HostUnknown, HttpError, error_response
from so8t.operate.server.places import Place, give

SEND_SECONDS = 60.0  # a reader that takes nothing for so long has gone
WAIT_SECONDS = 2.0  # for a place; as many as there are places may wait
UNGUARDED = frozenset({"/healthz"})  # asked by load balancers under any name
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """`hosts`: names under which we may be reached, without port; `concurrent`: requests at work at once, `each` of
    them of one name (0 = half)."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], concurrent: int, each: int = 0) -> None:
        self._app, self._hosts, self._concurrent = app, frozenset(h.lower() for h in hosts), concurrent
        self._each = each or max(1, concurrent // 2)
        self._taken: Counter[str] = Counter()
        self._places, self._waiting = asyncio.Semaphore(concurrent), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in UNGUARDED:
            await self._app(scope, receive, _with_headers(send))
            return
        refusal: HttpError | None = self._stranger(scope)
        if refusal is None and not await self._entered():
            refusal = Busy(detail=f"{self._concurrent} at once")
        if refusal is not None:
            await error_response(Request(scope), refusal)(scope, receive, _with_headers(send))
            return
        place = Place(self._taken, self._each)
        give(scope, place)
        try:
            await self._app(scope, receive, _with_headers(send))
        finally:
            self._places.release()
            place.leave()

    async def _entered(self) -> bool:
        """Whether there was a place, or one became free in time: a client asks again before our own end of its last
        request is through."""
        if self._waiting >= self._concurrent:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def _stranger(self, scope: Scope) -> HostUnknown | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hostname(hosts[0]) not in self._hosts:
            return HostUnknown(detail=hosts[0][:80].decode("latin-1") if hosts else "")
        return None


def hostname(host: bytes) -> str:
    """The name or address of a Host header, lower case, without its port; "" for what is no host."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        name, closed, port = text[1:].partition("]")
        port = port.removeprefix(":")
        return name if closed and _is_address(name) and (not port or port.isdecimal()) else ""
    name, _, port = text.partition(":")
    return name if not port or port.isdecimal() else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            have = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in have)]
            await send(message)
            return
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)

    return sent
