"""The images beside a ledger against its entries: one that is gone without an erasure, or was changed, is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from so8t.core.errors import LedgerBroken, SourceMissing
from so8t.core.files import sha256_file
from so8t.core.ledger_read import MAX_LIMIT, LedgerReader, Stored
from so8t.core.ledger_report import MAX_PROBLEMS, Problem, Report
from so8t.operate.intake.kept import Kept

MESSAGES = {
    "attachment_missing": (
        "消去の記録なしに画像がありません(写しを調べるときは .attachments のフォルダも一緒に)",
        "an image is gone without an erase entry (a copy needs the folder .attachments with it)",
    ),
    "attachment": ("画像が書き換えられています", "an image was changed"),
}


def with_attachments(report: Report, ledger: Path) -> Report:
    """A verification with what the files say. No key is needed: a file is named by the hash of its sealed bytes."""
    try:
        with LedgerReader(ledger) as reader:
            more = compare(reader, Kept.beside(ledger))
    except (LedgerBroken, SourceMissing):
        if report.ok:
            raise
        return report  # it says already what is wrong
    if not more:
        return report
    problems = tuple(sorted((*report.problems, *more), key=lambda p: p.seq))
    return replace(report, ok=False, problems=problems, first_bad=problems[0].seq)


def compare(reader: LedgerReader, kept: Kept) -> list[Problem]:
    """At most MAX_PROBLEMS, by entry. Raises what the reader raises."""
    erased = {entry.data.get("seq") for entry in _all(reader, "note") if entry.data.get("event") == "erased"}
    found = list[Problem]()
    for entry in _all(reader, "decision"):
        for one in entry.data.get("attachments", ()) if entry.seq not in erased else ():
            if one.get("sealed") and (kind := _wrong(kept, str(one["sealed"]))):
                found.append(Problem(entry.seq, kind, *MESSAGES[kind]))
        if len(found) >= MAX_PROBLEMS:
            break
    return found[:MAX_PROBLEMS]


def _wrong(kept: Kept, name: str) -> str:
    try:
        return "" if sha256_file(kept.path(name)) == name else "attachment"
    except OSError:
        return "attachment_missing"


def _all(reader: LedgerReader, kind: str) -> Iterator[Stored]:
    after = 0
    while page := reader.entries(after=after, kinds=(kind,), limit=MAX_LIMIT):
        yield from page
        after = page[-1].seq
