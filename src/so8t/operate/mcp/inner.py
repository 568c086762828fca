"""The running office asked from within itself: a route called as an ASGI application, in the name of an outer request.

What comes to /mcp goes through the very routes that HTTP clients use, so identity, limits, judging and the ledger are
theirs; it only takes no second place of the guard, where it would wait for itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.types import Message

from so8t.ask.wire import Json, words
from so8t.core.errors import OfficeRefused
from so8t.operate.office_wire import raised_there

# Of the outer request, what belongs to its body and its protocol and not to who sends it.
_OWN = (b"content-", b"accept", b"mcp-", b"transfer-", b"connection", b"x-so8t-")


@dataclass(frozen=True, slots=True)
class Inner:
    """An Asked of office_client.py."""

    outer: HttpRequest

    async def get(self, path: str) -> Json:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: Json) -> Json:
        return await self._ask("POST", path, orjson.dumps(body))

    async def close(self) -> None:
        """Nothing is open."""

    async def _ask(self, method: str, path: str, body: bytes) -> Json:
        """Raises what the route raised."""
        status, content = await self._called(method, path, body)
        try:
            told = orjson.loads(content)
        except ValueError:
            told = None
        if status != 200 or not isinstance(told, dict):
            raise raised_there(content) or OfficeRefused(where=path, detail=f"HTTP {status} {words(content[:200])}")
        return told

    async def _called(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        headers = [(name, value) for name, value in self.outer.scope["headers"] if not name.startswith(_OWN)]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        scope: dict[str, Any] = {
            **{key: self.outer.scope[key] for key in ("type", "asgi", "http_version", "scheme", "server", "client")},
            "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": headers,
        }  # fmt: skip
        status, content, sent = 500, bytearray(), False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))

        with suppress(Exception):  # answered as an unforeseen error already; its words are for nobody outside
            await self.outer.app(scope, receive, send)
        return status, bytes(content)
