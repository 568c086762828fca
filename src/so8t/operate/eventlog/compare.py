"""The ledger against heads that event logs kept: finds a cut end, and a database rolled back with its anchor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from so8t.core.errors import LedgerBroken, SourceMissing
from so8t.core.ledger_read import MAX_LIMIT, LedgerReader
from so8t.core.ledger_report import MAX_PROBLEMS, Problem, Report
from so8t.operate.eventlog.exported import Head, heads_of

MESSAGES = {
    "event_unreadable": ("イベントログの記録が読めません", "an event in the log cannot be read"),
    "event_conflict": ("イベントログの二つの記録が食い違います", "two events of the log contradict each other"),
    "event_missing": (
        "イベントログにある記録が台帳にありません(末尾が切られたか、錨とともに古い写しに戻されています)",
        "the event log tells of an entry that is not in the ledger: its end was cut off, or ledger and anchor were "
        "rolled back",
    ),
    "event_head": (
        "イベントログの最新ハッシュと違います(連鎖が作り直されています)",
        "differs from the head in the event log: the chain was redone",
    ),
}


def compare(heads: Iterable[Head], reader: LedgerReader) -> list[Problem]:
    """What does not fit, by entry, at most MAX_PROBLEMS and always the first. Raises what the reader raises."""
    said: dict[int, str] = {}
    found = set[tuple[int, str]]()
    for head in heads:
        if not head.head or head.seq < 1:
            found.add((1, "event_unreadable"))
        elif said.setdefault(head.seq, head.head) != head.head:
            found.add((head.seq, "event_conflict"))
    stored = _stored(said, reader)
    for seq, head_said in said.items():
        if seq not in stored:
            found.add((seq, "event_missing"))
        elif stored[seq] != head_said:
            found.add((seq, "event_head"))
    return [Problem(seq, kind, *MESSAGES[kind]) for seq, kind in sorted(found)][:MAX_PROBLEMS]


def with_events(report: Report, ledger: Path, events: Path) -> Report:
    """A verification with what an exported event log adds. Raises SourceMissing, SourceUnreadable, SourceEmpty."""
    heads = list(heads_of(events))
    try:
        with LedgerReader(ledger) as reader:
            more = compare(heads, reader)
    except (LedgerBroken, SourceMissing):
        if report.ok:
            raise
        return report  # it says already what is wrong
    problems = tuple(sorted((*report.problems, *more), key=lambda p: p.seq))
    return replace(report, ok=not problems, problems=problems, first_bad=problems[0].seq if problems else None)


def _stored(said: dict[int, str], reader: LedgerReader) -> dict[int, str]:
    """seq -> head of the ledger, for the entries that are spoken of."""
    stored: dict[int, str] = {}
    after, last = min(said, default=1) - 1, max(said, default=0)
    while after < last:
        page = reader.entries(after=after, before=last + 1, limit=MAX_LIMIT)
        if not page:
            break
        stored |= {entry.seq: entry.head for entry in page if entry.seq in said}
        after = page[-1].seq
    return stored
