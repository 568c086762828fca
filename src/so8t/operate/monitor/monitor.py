"""The host monitor beside a running office: looks, writes down what it finds, tells people; it ends and deletes nothing
by itself (SPEC O8, issue 8.7).

A finding is an entry of the ledger before anybody is told of it. One that cannot be written waits for the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from so8t.core.errors import LedgerError
from so8t.core.ledger_format import Entry
from so8t.core.ledger_read import LedgerReader
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.gateway import Gateway
from so8t.operate.monitor.alarm import Alarm, Notice, QuietHours
from so8t.operate.monitor.finding import KINDS, Finding, Severity
from so8t.operate.monitor.notice import FindingNotice
from so8t.operate.monitor.turn import Turn
from so8t.operate.monitor.watch import FILES_SECONDS, FILES_SHARE, Watch, replaced_finding

SHOWN = 100
MOST_WAITING = 1000
SHORTEST_PAUSE = 0.5
BASELINE = "monitor-baseline"  # as `request_id`, by which the newest one is found again
THRESHOLDS = {"warning": Severity.WARNING, "critical": Severity.CRITICAL, "none": None}
logger = logging.getLogger("so8t.serve")


class Teller(Protocol):
    """operate/review/notify.py's Notifier."""

    def tell(self, told: FindingNotice) -> None: ...


@dataclass(slots=True)
class Shown:
    """A row of the console: the last findings, each with how often it was seen since."""

    finding: Finding
    seq: int
    time: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Waiting:
    """For the ledger. `notice` None: the entry of a baseline, of which nobody is told besides."""

    body: dict[str, Any]
    notice: Notice | None = None


@dataclass(slots=True)
class Monitor:
    """Give watch() to the background. `observers` are told of every notice that is durable; `counted` by severity and
    `kinds` by kind: findings since the start."""

    gateway: Gateway
    watched: Watch
    reader: LedgerReader | None = None
    events: EventLog | None = None
    teller: Teller | None = None
    page: str = ""
    clock: Callable[[], float] = time.monotonic
    since: datetime | None = None
    counted: Counter[Severity] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    latest: deque[Shown] = field(default_factory=lambda: deque(maxlen=SHOWN))
    observers: list[Callable[[Notice], None]] = field(default_factory=list)
    lost: int = 0
    alarm: Alarm = field(init=False)
    quiet: QuietHours = field(init=False)
    files: Turn | None = field(init=False, default=None)
    _waiting: deque[_Waiting] = field(default_factory=deque, repr=False)
    _held: list[FindingNotice] = field(default_factory=list, repr=False)
    _held_count: int = 0
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def __post_init__(self) -> None:
        """Raises ConfigValueInvalid."""
        config = self.watched.config
        self.alarm, self.quiet = Alarm(config.again_minutes * 60), QuietHours.of(config.quiet_hours)
        if self.watched.files is not None:
            self.files = Turn("files", self.watched.files.look, FILES_SECONDS, FILES_SHARE)

    async def watch(self) -> None:
        """Look for ever."""
        await self.begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep(self.watched.turns))
                if self.files is not None and self.watched.files is not None:
                    await asyncio.to_thread(self.watched.files.start)
                    tasks.create_task(self._keep([self.files]))
        finally:
            if self.watched.files is not None:
                await asyncio.to_thread(self.watched.files.stop)

    async def begin(self) -> None:
        """The baseline in force, with its ledger entry. Raises LedgerUnavailable."""
        if self.since is not None:
            return
        reference = self.watched.reference
        last = await asyncio.to_thread(self._read_back)
        found = await asyncio.to_thread(reference.look)
        why = "in force"
        if reference.baseline is None and not reference.problem:
            why = "gone, taken anew" if last else "first"
            found += await asyncio.to_thread(self.watched.take_baseline)
        if reference.baseline is not None and reference.baseline.digest != last:
            self._wait(_Waiting(self._baseline_body(why)))
            if last:
                found.append(replaced_finding(last, reference.baseline))
        self.since = self.gateway.now()
        await self.tell(found)

    async def look(self, turns: list[Turn] | None = None) -> list[Notice]:
        """One look of those whose turn it is; what was new. Raises LedgerUnavailable, and nothing is forgotten."""
        before = self.watched.reference.replaced
        found = await asyncio.to_thread(self.watched.look, self.clock(), turns)
        if self.watched.reference.replaced != before:
            self._wait(_Waiting(self._baseline_body("replaced")))
        return await self.tell(found)

    async def tell(self, found: list[Finding]) -> list[Notice]:
        """Raises LedgerUnavailable; what could not be written is written at the next call."""
        notices = self.alarm.take(found, self.clock())
        for notice in notices:
            self._wait(_Waiting(notice.body(), notice))
        async with self._writing:
            while self._waiting:
                first = self._waiting[0]
                entry = await self.gateway.note("finding", first.body)
                self._waiting.popleft()
                if first.notice is not None:
                    self._recorded(first.notice, entry)
        self._after_quiet()
        return notices

    def _wait(self, waiting: _Waiting) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(waiting)
        else:
            self.lost += 1
            logger.warning("host monitor: %d findings lost, the ledger is gone for too long", self.lost)

    async def _keep(self, turns: list[Turn]) -> None:
        while True:
            try:
                await self.look(turns)
            except LedgerError as error:
                logger.warning("host monitor: %s, findings wait for the ledger", error.code)
            due = min((turn.due for turn in turns), default=self.clock() + 60)
            await asyncio.sleep(max(SHORTEST_PAUSE, due - self.clock()))

    def _recorded(self, notice: Notice, entry: Entry) -> None:
        finding = notice.finding
        if notice.event == "found":
            self.counted[finding.severity] += 1
            self.kinds[finding.kind] += 1
            self.latest.append(Shown(finding, entry.seq, entry.time))
            if self.events is not None and finding.severity > Severity.INFO:
                self.events.finding(finding.kind, finding.severity is Severity.CRITICAL, entry)
            self._notify(FindingNotice(finding, entry.seq, entry.time, self.page))
        else:
            self._count(notice)
        for observer in self.observers:
            observer(notice)

    def _count(self, notice: Notice) -> None:
        for shown in reversed(self.latest):
            if shown.finding.key == notice.finding.key:
                shown.count += notice.count
                return

    def _notify(self, told: FindingNotice) -> None:
        least = THRESHOLDS[self.watched.config.notify]
        if self.teller is None or least is None or told.finding.severity < least:
            return
        if told.finding.severity < Severity.CRITICAL and self.quiet.hold(self.gateway.now()):
            self._held, self._held_count = [told], self._held_count + 1
            return
        self.teller.tell(told)

    def _after_quiet(self) -> None:
        """The last finding of the quiet hours, with the number of the others."""
        if self._held and self.teller is not None and not self.quiet.hold(self.gateway.now()):
            (last,) = self._held
            self.teller.tell(FindingNotice(last.finding, last.seq, last.time, last.address, self._held_count - 1))
            self._held, self._held_count = [], 0

    def _baseline_body(self, why: str) -> dict[str, Any]:
        baseline = self.watched.reference.baseline
        body: dict[str, Any] = {"event": "baseline", "actor": "server", "request_id": BASELINE, "why": why}
        if baseline is not None:
            body |= {
                "digest": baseline.digest, "taken": baseline.taken, "version": baseline.version,
                "files": len(baseline.package), "listeners": list(baseline.listeners[:100]),
                "media": len(baseline.media),
            }  # fmt: skip
        return body

    def _read_back(self) -> str:
        """The last findings for the console, and the digest of the newest baseline in the ledger ("" = none)."""
        if self.reader is None:
            return ""
        for entry in reversed(self.reader.entries(kinds=("finding",), newest_first=True, limit=SHOWN)):
            if (finding := _read(entry.data)) is not None:
                self.latest.append(Shown(finding, entry.seq, entry.time))
        newest = self.reader.entries(kinds=("finding",), request_id=BASELINE, newest_first=True, limit=1)
        return str(newest[0].data.get("digest") or "") if newest else ""


def _read(data: Mapping[str, Any]) -> Finding | None:
    """A finding of an earlier start; None for any other entry, also one of a later version with other kinds."""
    severity = {s.word: s for s in Severity}.get(str(data.get("severity")))
    kind, facts = data.get("finding"), data.get("facts")
    if data.get("event") != "found" or severity is None or kind not in KINDS or not isinstance(facts, dict):
        return None
    plain = {str(name): tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    try:
        return Finding(str(kind), severity, str(data.get("subject")), plain)
    except ValueError:
        return None
