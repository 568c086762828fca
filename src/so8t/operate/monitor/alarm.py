"""From findings to notices: the same finding is told once and then counted, one kind that floods is cut off by a
finding of its own, and in quiet hours people are only woken for what is critical. Everything stays bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, timezone
from typing import Any, Literal

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor.finding import Finding, Severity

AGAIN_SECONDS, SHORTEST_WAIT = 3600.0, 60.0
HOUR = 3600.0
LONGEST_WAIT = 24 * HOUR
MOST_OF_A_KIND = 20  # new findings of one kind in an hour; the next is a flood, and the rest is counted
MOST_REMEMBERED = 4096
JAPAN = timezone(timedelta(hours=9))
Event = Literal["found", "again", "suppressed"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is written down. found: new; again: `count` repetitions since; suppressed: `count` findings of a flood."""

    event: Event
    finding: Finding
    count: int = 1

    def body(self) -> dict[str, Any]:
        """As the ledger has it."""
        return {"event": self.event, "actor": "server", **self.finding.to_json(), "count": self.count}


@dataclass(slots=True)
class _Told:
    """`wait`: seconds from `at` until its repetitions are told; twice as long each time, at most a day."""

    finding: Finding
    at: float
    wait: float
    repeated: int = 0


@dataclass(slots=True)
class _Kind:
    """Of one kind, in the hour that began at `since`."""

    since: float
    told: int = 0
    suppressed: int = 0
    worst: Severity = Severity.INFO


@dataclass(slots=True)
class Alarm:
    """`again`: seconds in which the same finding is counted and not told, a minute at least."""

    again: float = AGAIN_SECONDS
    _told: OrderedDict[tuple[str, str], _Told] = field(default_factory=OrderedDict, repr=False)
    _kinds: dict[str, _Kind] = field(default_factory=dict, repr=False)

    def take(self, findings: Iterable[Finding], now: float) -> list[Notice]:
        """What is to be told of these, and of what came to its end meanwhile. `now`: seconds of any steady clock."""
        notices = self._ended(now)
        for finding in findings:
            before = self._told.get(finding.key)
            if before is not None and finding.severity <= before.finding.severity:
                before.repeated += 1
            else:  # new, or more serious than it was told
                notices += self._new(finding, now)
        return notices

    def __post_init__(self) -> None:
        self.again = max(self.again, SHORTEST_WAIT)  # or every look would be an entry

    @property
    def remembered(self) -> int:
        return len(self._told)

    def _new(self, finding: Finding, now: float) -> list[Notice]:
        kind = self._kinds.setdefault(finding.kind, _Kind(now))
        if kind.told >= MOST_OF_A_KIND:
            kind.suppressed += 1
            kind.worst = max(kind.worst, finding.severity)
            return [Notice("found", _flood(finding.kind))] if kind.suppressed == 1 else []
        kind.told += 1
        self._told.pop(finding.key, None)
        notices = []
        if len(self._told) >= MOST_REMEMBERED:
            _, oldest = self._told.popitem(last=False)
            notices = _repetitions(oldest)
        self._told[finding.key] = _Told(finding, now, self.again)
        return [*notices, Notice("found", finding)]

    def _ended(self, now: float) -> list[Notice]:
        """Whose time is over: how often each was repeated, and how much of each kind was only counted."""
        notices = []
        for key, told in [(key, told) for key, told in self._told.items() if now - told.at >= told.wait]:
            notices += _repetitions(told)
            if told.repeated:  # it goes on: told again when there is more of it, ever more rarely
                told.at, told.wait, told.repeated = now, min(2 * told.wait, LONGEST_WAIT), 0
            else:
                del self._told[key]
        for name in [name for name, kind in self._kinds.items() if now - kind.since >= HOUR]:
            kind = self._kinds.pop(name)
            if kind.suppressed:
                notices.append(Notice("suppressed", _flood(name, kind.worst), kind.suppressed))
        return notices


def _repetitions(told: _Told) -> list[Notice]:
    return [Notice("again", told.finding, told.repeated)] if told.repeated else []


def _flood(kind: str, worst: Severity = Severity.CRITICAL) -> Finding:
    return Finding("flood", Severity.CRITICAL, kind, {"kind": kind, "worst": worst.word, "limit": MOST_OF_A_KIND})


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begin` to `end`, Japan Standard Time; equal = never."""

    begin: time = time()
    end: time = time()

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> QuietHours:
        """("22:00", "06:00"), or () for none. Raises ConfigValueInvalid."""
        if not texts:
            return cls()
        try:
            begin, end = (time.fromisoformat(text) for text in texts)
        except ValueError:
            begin = end = time()
        if begin == end or begin.tzinfo or end.tzinfo:
            raise ConfigValueInvalid(
                where="serve.monitor.quiet_hours", detail=f'{list(texts)!r:.80}: ["22:00", "06:00"]'
            )
        return cls(begin, end)

    def hold(self, moment: datetime) -> bool:
        """Whether this moment (with its zone) is quiet."""
        now = moment.astimezone(JAPAN).time()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end
