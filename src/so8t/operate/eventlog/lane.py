"""What waits for one sink. Bounded: what does not fit becomes a gap, written in its place when the sink works again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from so8t.operate.eventlog.event import Event, EventId

BATCH = 100
logger = logging.getLogger("so8t.serve")


class Sink(Protocol):
    """Where events go. `write` returns when they are handed over and raises OSError when one could not be: then all of
    them come again, so that a reader may see an event twice and never not at all. It may block; it runs in a thread
    of its own."""

    @property
    def name(self) -> str: ...
    def write(self, events: Sequence[Event]) -> None: ...
    def close(self) -> None: ...


class Lane:
    """One sink, its queue and its failures. put() never waits and never raises; the rest is for the event loop."""

    def __init__(self, sink: Sink, maximum: int) -> None:
        self.sink, self._maximum = sink, maximum
        self._waiting: deque[Event] = deque()
        self._gap: Event | None = None
        self.delivered = self.failures = self.skipped = 0
        self.failing = False
        self.woken = asyncio.Event()
        self._lock = asyncio.Lock()
        self._pool = ThreadPoolExecutor(1, f"so8t-events-{sink.name}")

    def __len__(self) -> int:
        return len(self._waiting) + (self._gap is not None)

    def put(self, event: Event) -> None:
        """After a gap has begun everything belongs to it until it is written: order is kept."""
        if self._gap is None and len(self._waiting) < self._maximum:
            self._waiting.append(event)
        else:
            self.skipped += 1
            self._gap = _widened(self._gap, event)
        self.woken.set()

    async def deliver(self) -> bool:
        """Write what waits; False when the sink failed, then the rest waits on."""
        async with self._lock:
            while len(self):
                if not self._waiting:
                    assert self._gap is not None
                    self._waiting.append(self._gap)
                    self._gap = None
                batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
                try:
                    await asyncio.get_running_loop().run_in_executor(self._pool, self.sink.write, batch)
                except Exception as error:  # a library's own error must not end the deliveries either
                    self._failed(error)
                    return False
                for _ in batch:
                    self._waiting.popleft()
                self.delivered += len(batch)
                if self.failing:
                    logger.warning("event log %s works again, %d events wait", self.sink.name, len(self))
                self.failing = False
        return True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self.failing:
            logger.warning("event log %s: %s, tried again until it works", self.sink.name, type(error).__name__)
        self.failing = True

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.sink.close()


def _widened(gap: Event | None, event: Event) -> Event:
    """The gap with one more event in it. Its head is that of its last entry, so the chain is anchored up to there."""
    before = [e for e in (gap, event) if e is not None and e.seq is not None]
    last = max(before, key=lambda e: e.seq or 0, default=event)
    firsts = [seq for e in before if (seq := e.first if e.first is not None else e.seq) is not None]
    return Event(EventId.GAP, event.time, last.seq, last.head, first=min(firsts, default=None))
