"""Heads outside the ledger (issue 6.6): an observer of the gateway that hands every verdict on to the event logs.

Nobody waits for it. Each log has a queue and a task of its own; one that fails is counted, told of once, and tried
again, and what did not fit its queue is written as a gap with its first and last entry. Delivery is in order and at
least once. What waits when the process is killed is not delivered: the next start tells the head (`begin`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime

from so8t.core.ledger_format import Anchor, Entry, utc
from so8t.operate.eventlog.event import Event, EventId
from so8t.operate.eventlog.lane import Lane, Sink
from so8t.operate.gateway import Recorded

MAX_WAITING = 10_000
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two tries of a log that fails


class EventLog:
    """Give observe() to the gateway's observers and run() to the background. `clock`: the time, for errors without an
    entry. `pause` waits so many seconds; tests have their own."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        clock: Callable[[], datetime],
        maximum: int = MAX_WAITING,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.lanes = tuple(Lane(sink, maximum) for sink in sinks)
        self._clock, self._pause = clock, pause

    def observe(self, recorded: Recorded) -> None:
        """A durable verdict: 1001, 1002 or 1003."""
        self._put(Event.of(recorded))

    def error(self, code: str, request_id: str = "", entry: Entry | None = None) -> None:
        """1004, with the entry of the error where there is one; without one the ledger itself could not be written."""
        self._put(Event.of_error(code, utc(self._clock()), request_id, entry))

    def finding(self, kind: str, critical: bool, entry: Entry) -> None:
        """1006 or 1007: what the host monitor found."""
        self._put(Event.of_finding(kind, critical, entry))

    def begin(self, head: Anchor) -> None:
        """The head at a start: it covers whatever an earlier process did not come to deliver."""
        self._put(Event(EventId.GAP, head.time, head.seq, head.head))

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self.lanes:
                tasks.create_task(self._deliver(lane))

    async def flush(self, seconds: float = 5.0) -> bool:
        """Try once to deliver what waits, for a graceful stop; whether all of it was."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(lane.deliver() for lane in self.lanes))
        return not any(len(lane) for lane in self.lanes)

    def close(self) -> None:
        for lane in self.lanes:
            lane.close()

    def _put(self, event: Event) -> None:
        for lane in self.lanes:
            lane.put(event)

    async def _deliver(self, lane: Lane) -> None:
        pause = FIRST_PAUSE
        while True:
            await lane.woken.wait()
            lane.woken.clear()
            while not await lane.deliver():
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            pause = FIRST_PAUSE
