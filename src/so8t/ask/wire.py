"""HTTP to one upstream: a literal address and a list of paths; no names, proxies or redirects, every answer bounded.

SPEC O6: this is the only place where the product opens a connection to a model. What is not on the list is refused
before a byte is sent, whoever asks for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar, NoReturn
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from so8t.core.errors import BackendDown, BackendError, BackendProtocol, OutboundRefused, So8tError

MAX_ANSWER_BYTES = 64 << 20  # a whole vocabulary's log-probabilities; nothing we ask for is larger
MAX_LINE_BYTES = 1 << 20
CONNECT_SECONDS = 10.0
STALL_SECONDS = 600.0  # a server that hashes or copies a large file says nothing for minutes
KEEP_SECONDS = 3.0  # llama.cpp closes what idles longer

Json = dict[str, Any]


class NotFound(BackendProtocol):
    """HTTP 404: there is no such model or blob."""


# A server behind a proxy that is gone, or one that is not ready, is as good as none: another may answer.
_KINDS: dict[int, type[BackendError]] = {404: NotFound, 502: BackendDown, 503: BackendDown, 504: BackendDown}


class NoNames(AbstractResolver):
    """Resolves nothing: whatever reaches it was not a literal address."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        raise OSError(f"no name is ever looked up: {host!r}")

    async def close(self) -> None:
        return None


def literal_address(address: str, down: type[BackendError] = BackendDown) -> str:
    """The address without its last slash. Raises `down` unless it is http(s)://IP[:PORT] and nothing more."""
    try:
        parts = urlsplit(address)
        ipaddress.ip_address(parts.hostname or "")
        plain = parts.scheme in ("http", "https") and parts.username is None and parts.path in ("", "/")
        plain = plain and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        plain = False
    if not plain:
        raise down(where=address, detail="literal IP address required (http://127.0.0.1:11434)")
    return address.rstrip("/")


class Wire:
    """One upstream. `paths` that end in "/" stand for all below them; `key` is sent as a bearer token.

    `seconds` bounds each answer but streams and uploads, which may only not `stall`; `keep` = use connections again.
    `down`: what is raised where nobody answers.
    """

    down: ClassVar[type[BackendError]] = BackendDown

    def __init__(
        self,
        address: str,
        paths: Collection[str],
        *,
        seconds: float = 60.0,
        stall: float = STALL_SECONDS,
        key: str = "",
        keep: bool = True,
    ) -> None:
        self.address = literal_address(address, self.down)
        self._exact = frozenset(p for p in paths if not p.endswith("/"))
        self._below = tuple(p for p in paths if p.endswith("/"))
        self._keep = keep
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._whole = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        self._stream = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=stall)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Json:
        return self.object(path, await self.ask("GET", path))

    async def post(self, path: str, body: Json) -> Json:
        """The answer to a question without streaming. Raises OutboundRefused, BackendDown, BackendProtocol."""
        return self.object(path, await self.ask("POST", path, body))

    async def ask(self, method: str, path: str, body: Json | None = None) -> bytes:
        async with self.request(method, path, timeout=self._whole, json=body) as response:
            return await self.content(path, response)

    async def lines(self, path: str, body: Json) -> AsyncGenerator[bytes]:
        """The non-empty lines of a streamed answer, each and all of them bounded."""
        async with self.request("POST", path, json=body) as response:
            if response.status != 200:
                await self.content(path, response)
            rest, total = b"", 0
            async for piece in response.content.iter_any():
                total += len(piece)
                *whole, rest = (rest + piece).split(b"\n")
                if total > MAX_ANSWER_BYTES or max(map(len, (rest, *whole))) > MAX_LINE_BYTES:
                    self._refuse(path, f"> {MAX_LINE_BYTES} bytes")
                for line in whole:
                    if line.strip():
                        yield line.strip()
            if rest.strip():
                yield rest.strip()

    async def events(self, path: str, body: Json) -> AsyncGenerator[Json]:
        """The data of server-sent events as JSON, up to [DONE]. An {"error"} raises BackendProtocol."""
        async with aclosing(self.lines(path, body)) as lines:
            async for line in lines:
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                event = self.object(path, data)
                if "error" in event:
                    raise self.refusal(path, 200, data)
                yield event

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self, method: str, path: str, *, timeout: aiohttp.ClientTimeout | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; without a timeout it may take long but not stall."""
        if path not in self._exact and not path.startswith(self._below or ("\0",)):
            raise OutboundRefused(where=self.address, detail=path)
        if self._session is None:
            self._session = self._open()
        options |= {"timeout": timeout or self._stream, "allow_redirects": False}
        try:
            async with self._session.request(method, self.address + path, **options) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.down(where=self.address, detail=f"{path} {type(error).__name__}") from error

    async def content(self, path: str, response: aiohttp.ClientResponse, accepted: tuple[int, ...] = (200,)) -> bytes:
        """The whole answer, bounded. Raises NotFound, BackendProtocol for another status than those accepted."""
        content = bytearray()
        async for piece in response.content.iter_any():  # read(n) gives what has come so far, not all of it
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                self._refuse(path, f"> {MAX_ANSWER_BYTES} bytes")
        if response.status in accepted:
            return bytes(content)
        raise self.refusal(path, response.status, bytes(content))

    def refusal(self, path: str, status: int, content: bytes) -> So8tError:
        """What an answer that is an error is raised as."""
        kind, told = _KINDS.get(status, BackendProtocol), f"HTTP {status} " if status != 200 else ""
        return kind(where=self.address + path, detail=f"{told}{_reason(content)}".strip())

    def object(self, path: str, content: bytes) -> Json:
        try:
            answer = orjson.loads(content)
        except ValueError:
            self._refuse(path, "JSON")
        if not isinstance(answer, dict):
            self._refuse(path, "JSON: not an object")
        return answer

    def _open(self) -> aiohttp.ClientSession:
        kept: dict[str, Any] = {"keepalive_timeout": KEEP_SECONDS} if self._keep else {"force_close": True}
        connector = aiohttp.TCPConnector(resolver=NoNames(), limit=0, **kept)
        return aiohttp.ClientSession(
            connector=connector, headers=self._headers, trust_env=False, auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )  # fmt: skip

    def _refuse(self, path: str, detail: str) -> NoReturn:
        raise BackendProtocol(where=self.address + path, detail=detail)


def _reason(content: bytes) -> str:
    """What an error answer says, short; most put it under "error"."""
    try:
        answer = orjson.loads(content)
    except ValueError:
        answer = None
    return words(answer["error"]) if isinstance(answer, dict) and "error" in answer else words(content[:200])


def words(value: object) -> str:
    """On one line, without what could steer a terminal."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))[:200]
