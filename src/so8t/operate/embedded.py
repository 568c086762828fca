"""Our own llama.cpp as an upstream. Each process has a port and a key of its own: no other program on the machine can
go round the gateway, and whoever takes the port of one that died is sent nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from so8t.ask.backend import GREEDY, Generation, Piece, Sampling
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import ServerProcess
from so8t.core.errors import BackendDown, BackendError, ModelStopped


@dataclass(slots=True)
class KeptServer:
    """A server that can be started again. `spawn(key=...)` makes its process; `seconds`: for one whole answer."""

    name: str
    spawn: Callable[..., ServerProcess]
    seconds: float
    address: str = ""
    _process: ServerProcess | None = None
    _client: LlamaCpp | None = None

    async def start(self) -> None:
        """In place of the last one. Raises BackendDown."""
        await self.close()
        key = secrets.token_urlsafe(32)
        try:
            self._process = self.spawn(key=key)
            self.address = await asyncio.to_thread(self._process.address)
        except (BackendDown, OSError) as error:
            await self.close()
            raise BackendDown(where=self.name, detail=getattr(error, "detail", "") or str(error)) from error
        self._client = LlamaCpp(self.address, self.seconds, key)

    @property
    def running(self) -> bool:
        return self._client is not None and self.ended is None

    @property
    def ended(self) -> int | None:
        """The exit status of a process that died."""
        return self._process.ended if self._process is not None else None

    @property
    def client(self) -> LlamaCpp:
        """Raises ModelStopped."""
        if self._client is None or not self.running:
            raise ModelStopped(where=self.name)
        return self._client

    async def close(self) -> None:
        client, process = self._client, self._process
        self._client = self._process = None
        if client is not None:
            await client.close()
        if process is not None:
            await asyncio.to_thread(process.close)


@dataclass(slots=True)
class Embedded:
    """Vectors come from a second server on the same file, so that the first runs as it was proved."""

    model: KeptServer
    vectors: KeptServer | None = None

    @property
    def servers(self) -> tuple[KeptServer, ...]:
        return (self.model,) if self.vectors is None else (self.model, self.vectors)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        return await self.model.client.label_scores(prompt, labels)

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        return await self.model.client.generate(prompt, maximum_tokens, stop, sampling)

    def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        return self.model.client.stream(prompt, maximum_tokens, stop, sampling)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.vectors is None:
            return await self.model.client.embed(texts)
        try:
            return await self.vectors.client.embed(texts)
        except BackendDown as error:  # the model itself is there: no judgement is to wait for the vectors
            raise BackendError(where=self.vectors.name, detail=error.en) from error

    async def tokenize(self, text: str) -> list[int]:
        return await self.model.client.tokenize(text)

    async def alive(self) -> bool:
        try:
            return await self.model.client.alive()
        except ModelStopped:
            return False

    async def close(self) -> None:
        for server in self.servers:
            await server.close()
