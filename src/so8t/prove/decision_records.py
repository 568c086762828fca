"""Where judged requests come from: a ledger, the lines of `so8t decide`, the evaluation of this run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid, SourceUnreadable
from so8t.core.files import read_jsonl
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.ledger_store import is_address_file
from so8t.core.sealing import TextKey
from so8t.core.types import Decision
from so8t.prove.consistency import Record
from so8t.prove.suite import Outcome

MAX_RECORDS = 100_000  # of a ledger the newest; a file that holds more is refused
SQLITE = b"SQLite format 3\x00"
PAGE = 2000


@dataclass(frozen=True, slots=True)
class Log:
    """Judged requests in the order of time, and how many could not be used: their text was erased or is empty, or they
    failed."""

    records: list[Record]
    left_out: int


def read_log(path: Path, queries: Path | None = None, text_key: TextKey | None = None) -> Log:
    """A ledger by its first bytes, else JSON lines.

    Raises SourceMissing, SourceUnreadable, LedgerBroken, TextKeyWrong, RecordInvalid.
    """
    if path.is_file():
        with path.open("rb") as f:
            if f.read(len(SQLITE)) == SQLITE or is_address_file(path):
                return from_ledger(path, text_key)
    return from_lines(path, queries)


def from_ledger(path: Path, text_key: TextKey | None, most: int = MAX_RECORDS) -> Log:
    """The newest `most` decisions, oldest first; read-only. Whether the chain holds is what `ledger verify` tells."""
    records: list[Record] = []
    read, before = 0, None
    with LedgerReader(path, text_key) as reader:
        while read < most:
            limit = min(PAGE, most - read)
            page = reader.entries(kinds=("decision",), before=before, limit=limit, newest_first=True)
            if not page:
                break
            texts = reader.texts_of(page, ("query",))
            asked = [(e, texts[e.seq]["query"]) for e in page if e.seq in texts]
            records += [_entry(f"{path}: seq {e.seq}", e, text) for e, text in asked if text.strip()]
            read, before = read + len(page), page[-1].seq
    return Log(records[::-1], read - len(records))


def _entry(where: str, entry: Stored, text: str) -> Record:
    values = dict(entry.data) | {"id": entry.request_id or where, "decision": entry.decision, "query": text}
    return _record(values, where)


def from_lines(path: Path, queries: Path | None = None, most: int = MAX_RECORDS) -> Log:
    """Lines that `so8t decide` wrote, with the requests they answer in `queries` (joined by id) unless each line has
    its own "query" or "text". Lines with "error" are counted and left out."""
    asked = _by_id(queries, most) if queries else {}
    records: list[Record] = []
    failed = 0
    for number, line in read_jsonl(path):
        where = f"{path}:{number}"
        if "error" in line:
            failed += 1
            continue
        if len(records) >= most:
            raise SourceUnreadable(where=where, detail=f"> {most} records")
        records.append(_record(_joined(line, asked, where) if queries else line, where))
    return Log(records, failed)


def _by_id(path: Path, most: int) -> dict[Any, Mapping[str, Any]]:
    found: dict[Any, Mapping[str, Any]] = {}
    for number, line in read_jsonl(path):
        key = line.get("id")
        if not isinstance(key, str | int) or key in found:
            raise RecordInvalid(where=f"{path}:{number}", detail=f"id {key!r:.80}")
        if len(found) >= most:
            raise SourceUnreadable(where=f"{path}:{number}", detail=f"> {most} records")
        found[key] = line
    return found


def _joined(line: Mapping[str, Any], asked: Mapping[Any, Mapping[str, Any]], where: str) -> dict[str, Any]:
    key = line.get("id")
    if not isinstance(key, str | int) or key not in asked:
        raise RecordInvalid(where=where, detail=f"id {key!r:.80}")
    return {**asked[key], **line}


def _record(values: Mapping[str, Any], where: str) -> Record:
    """Raises RecordInvalid for a missing text or decision, or a confidence that is no probability."""
    text = values.get("query", values.get("text"))
    if not isinstance(text, str) or not text.strip():
        raise RecordInvalid(where=where, detail="query")
    try:
        decision = Decision(str(values.get("decision")))
    except ValueError as error:
        raise RecordInvalid(where=where, detail="decision") from error
    confidence = values.get("confidence")
    if confidence is not None and (not isinstance(confidence, float | int) or not 0 <= confidence <= 1):
        raise RecordInvalid(where=where, detail="confidence")
    return Record(
        id=str(values.get("id", where)),
        text=text,
        decision=decision,
        confidence=None if confidence is None else float(confidence),
        setting=(str(values.get("clearance") or ""), str(values.get("classification") or "")),
        version=f"{values.get('policy_digest', '')} {values.get('payload_digest', '')}",
    )


def from_outcomes(outcomes: Iterable[Outcome]) -> list[Record]:
    """The evaluation's own requests with their labels; texts are ours, levels as the judges saw them."""
    return [
        Record(
            id=o.sample.id, text=o.sample.text, decision=o.verdict.decision, confidence=o.verdict.confidence,
            setting=(o.sample.clearance or "", o.sample.classification or ""), label=o.sample.decision,
            group=o.sample.pair or o.sample.family, pair=o.sample.pair or "",
        )
        for o in outcomes
    ]  # fmt: skip
