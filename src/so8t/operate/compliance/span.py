"""Which entries a report covers. A period is of Japan's days; its entries are contiguous whatever the clock did.

As with sealed months (core/ledger_month.py): from the first entry dated in the period or later, up to the first one
dated after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Self

from so8t.core.errors import UsageError
from so8t.core.ledger_format import genesis, utc
from so8t.core.ledger_month import JAPAN
from so8t.core.ledger_read import MAX_LIMIT, LedgerReader, Stored
from so8t.operate.compliance.figures import plain


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of one day in Japan up to, and without, that of another."""

    first: date
    until: date

    @classmethod
    def parse(cls, first: str, until: str) -> Self:
        """Raises UsageError for what is no date, and for a period that ends before it begins."""
        try:
            period = cls(_day(first), _day(until))
        except ValueError:
            raise UsageError(detail="--from YYYY-MM-DD --to YYYY-MM-DD") from None
        if period.first >= period.until:
            raise UsageError(
                detail=(
                    f"--from {first} --to {until}: --to は含まない日",
                    f"--from {first} --to {until}: --to is the day after the last",
                )
            )
        return period

    @property
    def start(self) -> str:
        return utc(datetime.combine(self.first, time(), JAPAN))

    @property
    def end(self) -> str:
        return utc(datetime.combine(self.until, time(), JAPAN))

    def to_json(self) -> dict[str, str]:
        return {"from": self.first.isoformat(), "to": self.until.isoformat()}


def _day(text: str) -> date:
    """YYYY-MM-DD alone: date.fromisoformat reads more forms than a report should name."""
    return datetime.strptime(text, "%Y-%m-%d").date()


@dataclass(frozen=True, slots=True)
class Span:
    """Entries first..last of a ledger, none if last < first. `through` = the newest entry when it was looked at.

    `head_before`: the head when the period began; `head_after`: when it ended; `head`: that of `through`.
    """

    ledger_id: str
    first: int
    last: int
    through: int
    head_before: str
    head_after: str
    head: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def span_of(reader: LedgerReader, period: Period, through: int | None = None) -> Span:
    """`through`: leave what was written since out. Raises what the reader raises."""
    newest = reader.entries(limit=1, newest_first=True, before=None if through is None else through + 1)
    opening = reader.entries(limit=1)
    if not newest or not opening:
        return Span("", 1, 0, 0, "", "", "")
    stated = opening[0].data
    name = plain(stated.get("ledger_id")) if isinstance(stated, Mapping) else ""
    end = newest[0].seq
    first = _first_since(reader, period.start, end)
    last = _first_since(reader, period.end, end) - 1
    before = reader.entry(first - 1) if first > 1 else None
    head_before = before.head if before else genesis(name).hex()
    after = reader.entry(last) if last >= first else None
    return Span(name, first, last, end, head_before, after.head if after else head_before, newest[0].head)


def _first_since(reader: LedgerReader, moment: str, end: int) -> int:
    """The first entry dated then or later, or the one that comes after the last."""
    found = reader.entries(limit=1, since=moment, before=end + 1)
    return found[0].seq if found else end + 1


def stream(reader: LedgerReader, first: int, last: int, **filters: Any) -> Iterator[Stored]:
    """Entries first..last, a page at a time."""
    after = first - 1
    while after < last:
        page = reader.entries(after=after, before=last + 1, limit=MAX_LIMIT, **filters)
        yield from page
        if len(page) < MAX_LIMIT:
            return
        after = page[-1].seq
