"""Keeping vectors up to date beside the requests, from the office's own upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from so8t.ask.backend import Upstream
from so8t.core.errors import BackendError, BackendProtocol, PackageMissing
from so8t.operate.search import vectors
from so8t.operate.search.store import IndexStore

PROBE = "社内の文書"  # its vector tells one model from another
PAUSE_SECONDS = 30.0  # after the upstream gave none
CHECK_SECONDS = 900.0  # between two looks at whether it is still the same model


@dataclass(slots=True)
class Pointing:
    """`problem`: why there are no vectors at present, or ""."""

    upstream: Upstream
    clock: Callable[[], float] = time.monotonic
    problem: str = ""
    _next: float = field(default=0.0, repr=False)
    _size: int = field(default=0, repr=False)
    _checked: float | None = field(default=None, repr=False)

    async def vector(self, text: str) -> list[float] | None:
        """None while the upstream gives none: then words alone are searched for."""
        try:
            found = (await self.upstream.embed([text]))[0]
        except (BackendError, IndexError) as error:
            self.problem = type(error).__name__
            return None
        self.problem = ""
        return found

    async def point(self, store: IndexStore, go_on: Callable[[], bool]) -> None:
        """Vectors for what has none, as long as nothing else is to be done. An office at rest asks for nothing."""
        if self.clock() < self._next:
            return
        try:
            await self._checked_model(store)
            while go_on() and (passages := await asyncio.to_thread(vectors.waiting, store)):
                await asyncio.to_thread(vectors.put, store, passages, await self._vectors(passages))
        except (BackendError, PackageMissing, ValueError, IndexError) as error:
            self.problem, self._next, self._checked = type(error).__name__, self.clock() + PAUSE_SECONDS, None
        else:
            self.problem = ""

    async def _vectors(self, passages: Sequence[vectors.Passage]) -> list[list[float]]:
        """Of each passage; nowhere for one that the upstream will not take, lest it keep the others waiting."""
        made = list[list[float]]()
        for at in range(0, len(passages), vectors.BATCH):
            texts = [one.text for one in passages[at : at + vectors.BATCH]]
            try:
                made += await self.upstream.embed(texts)
            except BackendProtocol:
                made += [await self._one(text) for text in texts]
        return made

    async def _one(self, text: str) -> list[float]:
        try:
            return (await self.upstream.embed([text]))[0]
        except BackendProtocol:
            return [0.0] * self._size

    def begin(self) -> None:
        """Another index: look at the model before anything else."""
        self._checked, self._next = None, 0.0

    async def _checked_model(self, store: IndexStore) -> None:
        """Vectors of another model are forgotten: theirs is another space."""
        if self._checked is not None and self.clock() - self._checked < CHECK_SECONDS:
            return
        await asyncio.to_thread(vectors.loaded, store)
        probe = (await self.upstream.embed([PROBE]))[0]
        await asyncio.to_thread(vectors.prepare, store, probe)
        self._size = len(probe)
        self._checked = self.clock()

    def to_json(self, on: bool) -> dict[str, Any]:
        return {"on": on, "problem": self.problem}
