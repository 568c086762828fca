"""Ollama's REST interface, over ask/wire.py.

The `ollama` package speaks the same interface, but through a client that reads proxies from the environment, resolves
names and follows redirects. SPEC O6 allows none of the three, so the few calls are made here.
Source: docs/api.md and server/routes.go of github.com/ollama/ollama, as of v0.33.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from so8t.ask.wire import STALL_SECONDS, Json, NotFound, Wire, words
from so8t.core.errors import BackendProtocol

PIECE_BYTES = 1 << 20
PATHS = (
    "/api/blobs/", "/api/chat", "/api/create", "/api/delete", "/api/embed", "/api/generate", "/api/ps", "/api/show",
    "/api/tags", "/api/version",
)  # fmt: skip

Told = Callable[[int], None]


class OllamaApi:
    """Calls to one Ollama. `seconds` bounds each answer but uploads and streams, which may only not stall."""

    def __init__(self, address: str, seconds: float = 60.0, stall: float = STALL_SECONDS, key: str = "") -> None:
        self.wire = Wire(address, PATHS, seconds=seconds, stall=stall, key=key)

    @property
    def address(self) -> str:
        return self.wire.address

    async def get(self, path: str) -> Json:
        return await self.wire.get(path)

    async def post(self, path: str, body: Json) -> Json:
        """The answer to a question without streaming. Raises BackendDown, BackendProtocol."""
        return await self.wire.post(path, body)

    async def find(self, path: str, body: Json) -> Json | None:
        """Like post; None for what Ollama does not have."""
        try:
            return await self.post(path, body)
        except NotFound:
            return None

    async def delete(self, path: str, body: Json) -> None:
        await self.wire.ask("DELETE", path, body)

    async def has_blob(self, digest: str) -> bool:
        try:
            await self.wire.ask("HEAD", f"/api/blobs/sha256:{digest}")
        except NotFound:
            return False
        return True

    async def upload(self, digest: str, file: Path, told: Told) -> None:
        """Stream a file; `told` hears how many bytes each piece had. Ollama hashes it and refuses another digest."""
        path = f"/api/blobs/sha256:{digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        async with self.wire.request("POST", path, data=_pieces(file, told), headers=headers) as response:
            await self.wire.content(path, response, accepted=(200, 201))

    async def lines(self, path: str, body: Json) -> AsyncGenerator[Json]:
        """The JSON lines of a streamed answer. Raises BackendProtocol for an {"error"} line, under whatever status."""
        async with aclosing(self.wire.lines(path, body)) as lines:
            async for line in lines:
                answer = self.wire.object(path, line)
                if "error" in answer:
                    raise BackendProtocol(where=self.address + path, detail=words(answer["error"]))
                yield answer

    async def close(self) -> None:
        await self.wire.close()


async def _pieces(file: Path, told: Told) -> AsyncIterator[bytes]:
    with file.open("rb") as f:
        while piece := await asyncio.to_thread(f.read, PIECE_BYTES):
            yield piece
            told(len(piece))
