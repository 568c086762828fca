"""Work that takes a whole processor: one at a time, in time, and never more waiting than may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from so8t.operate.server.errors import Busy

WAITING = 16
ENDING_SECONDS = 2.0
T = TypeVar("T")


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Raises Busy where the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Busy(detail=f"> {seconds:g} s") from None


@dataclass(slots=True)
class OneByOne:
    """`seconds` for one's turn, the wait for others included."""

    seconds: float
    waiting: int = WAITING
    _here: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Busy for too many and for too long."""
        if self._here >= self.waiting:
            raise Busy(detail=f"{self.waiting} wait")
        self._here += 1
        try:
            async with in_time(self.seconds), self._lock:
                yield
        finally:
            self._here -= 1

    async def run(self, work: Callable[[], T], stop: Callable[[], None]) -> T:
        """In a thread, in one's turn. `stop` ends the process it waits for, when it is late or its asker has gone."""
        async with self.turn():
            working = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                stop()
                await asyncio.wait({working}, timeout=ENDING_SECONDS)
                if working.done() and not working.cancelled():
                    working.exception()  # looked at: what broke by our stopping is no news
                raise
