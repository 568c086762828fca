"""Indicators of use, counted from the ledger's entries as they come: what was asked, decided, withheld, and what broke.

Counts only. Nothing here is a saving or a success: that a request was refused says nothing of whether it should be.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.types import DECISIONS, Domain
from so8t.operate.console.moments import JST, jst
from so8t.operate.review.case import ReviewCase, Status

DAYS = 14
PAGE = 5000
KINDS = ("decision", "answer", "error", "access")
REFUSED_ENTRY = frozenset({"login_refused", "key_refused", "oidc_refused", "proxy_header_refused", "locked"})


@dataclass(slots=True)
class Day:
    """The counts of one day, Japan Standard Time."""

    decisions: Counter[str] = field(default_factory=Counter)
    domains: Counter[tuple[str, str]] = field(default_factory=Counter)
    withheld: int = 0
    failed: int = 0
    aborted: int = 0
    errors: int = 0
    entries_refused: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """`days` oldest first, one for each of the last DAYS days; `domains`: name -> counts as DECISIONS has them."""

    days: Sequence[tuple[date, Day]]
    domains: Sequence[tuple[str, tuple[int, ...]]]

    def decided(self, decision: str) -> int:
        return sum(day.decisions[decision] for _, day in self.days)

    def total(self, name: str) -> int:
        return sum(getattr(day, name) for _, day in self.days)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long people took. Seconds; None where nothing was decided or nothing waits."""

    open: int
    oldest: float | None
    decided: int
    median: float | None
    longest: float | None
    expired: int


class Usage:
    """Counts of the last days; each call reads only what is new. Safe to call from threads."""

    def __init__(self, reader: LedgerReader, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._reader, self._now, self._lock = reader, now, threading.Lock()
        self._read = 0
        self._days: dict[date, Day] = {}

    def figures(self) -> Figures:
        """Raises what LedgerReader raises."""
        with self._lock:
            last = jst(self._now()).date()
            wanted = [last - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]
            self._refresh(wanted[0])
            days = [(day, self._days.get(day, Day())) for day in wanted]
            domains = Counter[tuple[str, str]]()
            for _, counted in days:
                domains.update(counted.domains)
        return Figures(days, _by_domain(domains))

    def _refresh(self, first: date) -> None:
        since = datetime(first.year, first.month, first.day, tzinfo=JST)
        while page := self._reader.entries(after=self._read, limit=PAGE, kinds=KINDS, since=since):
            for entry in page:
                _count(self._days.setdefault(jst(entry.time).date(), Day()), entry)
            self._read = page[-1].seq
        for day in [d for d in self._days if d < first]:
            del self._days[day]


def _count(day: Day, entry: Stored) -> None:
    data = entry.data
    if entry.kind == "decision":
        decision = entry.decision or ""
        day.decisions[decision] += 1
        day.domains[str(data.get("domain") or ""), decision] += 1
    elif entry.kind == "error":
        day.errors += 1
    elif entry.kind == "access":
        day.entries_refused += data.get("event") in REFUSED_ENTRY
    day.withheld += bool(data.get("answer_withheld"))
    day.failed += bool(data.get("answer_failed"))
    day.aborted += bool(data.get("answer_aborted"))


def _by_domain(counts: Counter[tuple[str, str]]) -> list[tuple[str, tuple[int, ...]]]:
    names = [*(d.value for d in Domain), ""]
    rows = [(name, tuple(counts[name, d.value] for d in DECISIONS)) for name in names]
    return sorted((row for row in rows if sum(row[1])), key=lambda row: -sum(row[1]))


def waiting(cases: Sequence[ReviewCase], now: datetime) -> Waiting:
    """Of what was handed over in the last DAYS days, and of all that is open."""
    first = now - timedelta(days=DAYS)
    recent = [c for c in cases if datetime.fromisoformat(c.time) >= first]
    took = [_seconds(c.time, c.votes[-1].time) for c in recent if c.closed in (Status.ALLOWED, Status.DENIED)]
    opened = [_seconds(c.time, now.isoformat()) for c in cases if c.is_open(now)]
    expired = sum(c.status(now) == Status.EXPIRED for c in recent)
    return Waiting(
        len(opened), max(opened, default=None), len(took), statistics.median(took) if took else None,
        max(took, default=None), expired,
    )  # fmt: skip


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
