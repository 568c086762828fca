"""Every verdict reaches every event log, in order, or a gap says which did not; nobody waits for a log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office_server import ANSWER, SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.core.ledger_format import Anchor, Entry
from so8t.core.ledger_read import LedgerReader
from so8t.core.types import Request
from so8t.operate.eventlog.compare import compare
from so8t.operate.eventlog.event import Event, EventId, plain_id
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.eventlog.exported import heads_of
from so8t.operate.eventlog.file_sink import FileSink
from so8t.operate.eventlog.lane import BATCH, Lane

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
SECRET = "合言葉はひみつ"


@dataclass
class FakeSink:
    """Keeps what it is given; fails as long as it is told to."""

    name: str = "fake"
    broken: bool = False
    tries: int = 0
    events: list[Event] = field(default_factory=list)

    def write(self, events: Sequence[Event]) -> None:
        self.tries += 1
        if self.broken:
            raise OSError("no log")
        self.events += events

    def close(self) -> None:
        self.broken = True


def event(seq: int) -> Event:
    return Event(EventId.ALLOW, f"t{seq}", seq, f"{seq:064x}", f"req-{seq}")


def test_a_real_gateway_tells_numbers_and_heads_and_no_texts(tmp_path: Path) -> None:
    gateway, _, ledger, texts, authenticator = build(tmp_path, FakeBackend(SCORES, answer=ANSWER))
    log = EventLog([FakeSink(), FileSink(tmp_path / "heads.jsonl")], lambda: NOW)
    gateway.observers.append(log.observe)

    async def story() -> None:
        log.begin(ledger.head)
        for number, query in enumerate(("議事録を三行に。", "人に聞くべき契約の件です。", "禁じる件です。")):
            await gateway.ask(Request(f"req-{number}", query + SECRET, user="社員甲"))
        log.error("L02", "req-9")
        assert await log.flush()

    asyncio.run(story())
    reader = LedgerReader(tmp_path / "ledger.db", texts)
    decided = {e.request_id: e for e in reader.entries(kinds=("decision",))}
    events = log.lanes[0].sink.events  # type: ignore[attr-defined]
    assert [e.id for e in events] == [EventId.GAP, 1001, 1002, 1003, 1004]
    for told in events[1:4]:
        stored = decided[told.request_id]
        assert (told.seq, told.head, told.time, told.id.name) == (
            stored.seq, stored.head, stored.time, stored.decision,
        )  # fmt: skip
    assert events[4].seq is None and events[4].code == "L02" and events[4].time.startswith("2026-11-26T09:00")
    written = (tmp_path / "heads.jsonl").read_text(encoding="utf-8")
    assert SECRET not in written and "社員甲" not in written and written.isascii()
    assert compare(heads_of(tmp_path / "heads.jsonl"), reader) == []
    log.close()
    authenticator.close()
    ledger.close()


def test_a_failing_log_holds_nobody_back_is_told_of_once_and_catches_up(caplog: pytest.LogCaptureFixture) -> None:
    sinks, pauses = [FakeSink("good"), FakeSink("bad", broken=True)], []

    async def story() -> None:
        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 8:
                sinks[1].broken = False
            await asyncio.sleep(0)

        log = EventLog(sinks, lambda: NOW, pause=pause)
        running = asyncio.create_task(log.run())
        for seq in range(1, 4):
            log._put(event(seq))
        while log.lanes[1].delivered < 3:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [lane.failures for lane in log.lanes] == [0, 8]
        assert [lane.delivered for lane in log.lanes] == [3, 3]

    with caplog.at_level(logging.WARNING, "so8t.serve"):
        asyncio.run(story())
    assert sinks[0].events == sinks[1].events == [event(seq) for seq in range(1, 4)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        "event log bad", "event log bad works again, 0 events wait",
    ]  # fmt: skip


@given(st.lists(st.integers(1, 4), max_size=30), st.integers(1, 5))
def test_in_order_and_nothing_is_lost_silently(bursts: list[int], maximum: int) -> None:
    """Between bursts the sink works or fails in turn; every entry is told of, alone or in a gap."""

    async def story() -> list[Event]:
        sink, seq = FakeSink(), 0
        lane = Lane(sink, maximum)
        for turn, burst in enumerate(bursts):
            for _ in range(burst):
                seq += 1
                lane.put(event(seq))
            sink.broken = turn % 2 == 0
            assert await lane.deliver() is not sink.broken
            assert len(lane) <= maximum + 1
        sink.broken = False
        assert await lane.deliver() and len(lane) == 0
        lane.close()
        assert [e.seq for e in sink.events] == sorted(e.seq for e in sink.events if e.seq)
        told = [n for e in sink.events for n in range(e.first or e.seq or 0, (e.seq or 0) + 1)]
        assert told == list(range(1, seq + 1))
        assert all(e.head == f"{e.seq:064x}" for e in sink.events)
        return sink.events

    asyncio.run(story())


def test_a_queue_larger_than_a_batch_is_delivered_whole() -> None:
    async def story() -> None:
        sink = FakeSink()
        lane = Lane(sink, 10_000)
        for seq in range(1, 2 * BATCH + 2):
            lane.put(event(seq))
        assert await lane.deliver()
        assert [e.seq for e in sink.events] == list(range(1, 2 * BATCH + 2)) and sink.tries == 3
        lane.close()

    asyncio.run(story())


def test_flush_gives_up_in_time_and_says_so() -> None:
    async def story() -> None:
        log = EventLog([FakeSink(broken=True)], lambda: NOW)
        assert await log.flush()
        log._put(event(1))
        assert not await log.flush()
        log.close()

    asyncio.run(story())


@pytest.mark.parametrize("bad", ["", "a b", "a\nb", "seq=1", "社員", "x" * 65, "so8t seq=1 head=" + "0" * 64])
def test_a_client_cannot_speak_through_its_request_id(bad: str) -> None:
    entry = Entry(7, "2026-11-26T00:00:00.000000+00:00", "error", bytes(32))
    told = Event.of_error("D04", "t", bad, entry)
    assert plain_id(bad) == "" and told.message == (
        f"so8t seq=7 head={'0' * 64} id=1004 event=ERROR time={entry.time} code=D04"
    )
    assert Event.of_error("x\ny", "t").code == "?"


@pytest.mark.parametrize(("critical", "number"), [(False, 1006), (True, 1007)])
def test_what_the_host_monitor_found_is_told_by_kind_and_place_in_the_ledger(critical: bool, number: int) -> None:
    log, entry = EventLog([FakeSink()], lambda: NOW), Entry(9, "t", "finding", bytes(32))
    log.finding("egress", critical, entry)
    log.finding("x y\nz", critical, entry)
    asyncio.run(log.flush())
    told, odd = log.lanes[0].sink.events  # type: ignore[attr-defined]
    name = "CRITICAL" if critical else "FINDING"
    assert told.message == f"so8t seq=9 head={'0' * 64} id={number} event={name} time=t kind=egress"
    assert odd.kind == "?"
    log.close()


def test_the_start_tells_the_head() -> None:
    log = EventLog([FakeSink()], lambda: NOW)
    log.begin(Anchor("id", 12, "ab" * 32, "t"))
    asyncio.run(log.flush())
    (told,) = log.lanes[0].sink.events  # type: ignore[attr-defined]
    assert (told.id, told.seq, told.head) == (EventId.GAP, 12, "ab" * 32)
    log.close()
