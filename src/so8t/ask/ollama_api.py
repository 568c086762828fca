"""Ollama's REST interface over HTTP: one literal address, no names, no proxies, no redirects, every answer bounded.

The `ollama` package speaks the same interface, but through a client that reads proxies from the environment, resolves
names and follows redirects. SPEC O6 allows none of the three, so the few calls are made here with aiohttp.
Source: docs/api.md and server/routes.go of github.com/ollama/ollama, as of v0.33.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from so8t.core.errors import BackendDown, BackendProtocol

MAX_ANSWER_BYTES = 16 << 20  # a licence and a template travel in /api/show; nothing we ask for is larger
MAX_LINE_BYTES = 1 << 20
PIECE_BYTES = 1 << 20
CONNECT_SECONDS = 10.0
STALL_SECONDS = 600.0  # a server that hashes or copies a large file says nothing for minutes
MISSING = 404

Json = dict[str, Any]
Told = Callable[[int], None]


def literal_address(address: str) -> str:
    """The address without its last slash. Raises BackendDown unless it is http(s)://IP[:PORT] and nothing more."""
    try:
        parts = urlsplit(address)
        ipaddress.ip_address(parts.hostname or "")
        plain = parts.scheme in ("http", "https") and parts.username is None and parts.path in ("", "/")
        plain = plain and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        plain = False
    if not plain:
        raise BackendDown(where=address, detail="literal IP address required (http://127.0.0.1:11434)")
    return address.rstrip("/")


class OllamaApi:
    """Calls to one Ollama. `seconds` bounds each answer but uploads and streams, which may only not stall."""

    def __init__(self, address: str, seconds: float = 60.0, stall: float = STALL_SECONDS) -> None:
        self.address = literal_address(address)
        self._whole = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        self._stream = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=stall)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Json:
        return self._object(path, await self._ask("GET", path))

    async def post(self, path: str, body: Json) -> Json:
        """The answer to a question without streaming. Raises BackendDown, BackendProtocol."""
        return self._object(path, await self._ask("POST", path, body))

    async def find(self, path: str, body: Json) -> Json | None:
        """Like post; None for what Ollama does not have."""
        try:
            return await self.post(path, body)
        except NotFound:
            return None

    async def delete(self, path: str, body: Json) -> None:
        await self._ask("DELETE", path, body)

    async def has_blob(self, digest: str) -> bool:
        try:
            await self._ask("HEAD", f"/api/blobs/sha256:{digest}")
        except NotFound:
            return False
        return True

    async def upload(self, digest: str, file: Path, told: Told) -> None:
        """Stream a file; `told` hears how many bytes each piece had. Ollama hashes it and refuses another digest."""
        path = f"/api/blobs/sha256:{digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        async with self._request("POST", path, self._stream, data=_pieces(file, told), headers=headers) as response:
            await self._content(path, response, accepted=(200, 201))

    async def lines(self, path: str, body: Json) -> AsyncIterator[Json]:
        """The JSON lines of a streamed answer. Raises BackendProtocol for an {"error"} line, under whatever status."""
        async with self._request("POST", path, self._stream, json=body) as response:
            if response.status != 200:
                await self._content(path, response)
            async for line in self._split(path, response):
                answer = self._object(path, line)
                if "error" in answer:
                    raise BackendProtocol(where=self.address + path, detail=_words(answer["error"]))
                yield answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, path: str, body: Json | None = None) -> bytes:
        async with self._request(method, path, self._whole, json=body) as response:
            return await self._content(path, response)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, timeout: aiohttp.ClientTimeout, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False, auto_decompress=False)
        url = self.address + path
        try:
            options |= {"timeout": timeout, "allow_redirects": False}
            async with self._session.request(method, url, **options) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackendDown(where=self.address, detail=f"{path} {type(error).__name__}") from error

    async def _content(self, path: str, response: aiohttp.ClientResponse, accepted: tuple[int, ...] = (200,)) -> bytes:
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise BackendProtocol(where=self.address + path, detail=f"> {MAX_ANSWER_BYTES} bytes")
        if response.status in accepted:
            return bytes(content)
        kind = NotFound if response.status == MISSING else BackendProtocol
        raise kind(where=self.address + path, detail=f"HTTP {response.status} {_reason(bytes(content))}".strip())

    async def _split(self, path: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        rest, total = b"", 0
        async for piece in response.content.iter_any():
            total += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            if total > MAX_ANSWER_BYTES or max(map(len, (rest, *whole))) > MAX_LINE_BYTES:
                raise BackendProtocol(where=self.address + path, detail=f"> {MAX_LINE_BYTES} bytes")
            for line in filter(None, whole):
                yield line
        if rest.strip():
            yield rest

    def _object(self, path: str, content: bytes) -> Json:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BackendProtocol(where=self.address + path, detail="JSON") from error
        if not isinstance(answer, dict):
            raise BackendProtocol(where=self.address + path, detail="JSON: not an object")
        return answer


class NotFound(BackendProtocol):
    """HTTP 404: there is no such model or blob."""


async def _pieces(file: Path, told: Told) -> AsyncIterator[bytes]:
    with file.open("rb") as f:
        while piece := await asyncio.to_thread(f.read, PIECE_BYTES):
            yield piece
            told(len(piece))


def _reason(content: bytes) -> str:
    """What an error answer says, short; Ollama puts it under "error"."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    return _words(answer["error"]) if isinstance(answer, dict) and "error" in answer else _words(content[:200])


def _words(value: object) -> str:
    """On one line, without what could steer a terminal."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))[:200]
