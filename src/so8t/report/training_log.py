"""What a training writes while it runs: history.jsonl, a line an optimizer step, and events.jsonl; read with care.

A killed process leaves a torn last line, and a resumed one may go on behind it: what is no JSON object is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from so8t.core.errors import SourceUnreadable
from so8t.report.figures import number

MOST_BYTES = 1 << 30  # of a log that is read whole: a million steps with the angles of 32 layers
LONGEST_LINE = 1 << 20
Record = Mapping[str, Any]
Point = tuple[float, float]


def read_log(path: Path, most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """All whole records of a log; [] where there is none. Raises SourceUnreadable for one larger than `most` bytes."""
    if not path.is_file():
        return []
    if path.stat().st_size > most:
        raise SourceUnreadable(where=path, detail=f"> {most} bytes")
    with path.open("rb") as f:
        return list(_records(f))


def read_tail(path: Path, most: int) -> list[dict[str, Any]]:
    """The whole records of the last `most` bytes of a log; [] where there is none."""
    if not path.is_file():
        return []
    with path.open("rb") as f:
        start = max(0, f.seek(0, 2) - most)
        f.seek(start)
        if start:
            f.readline(most)  # the rest of a line that began before
        return list(_records(f))


def _records(f: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := f.readline(LONGEST_LINE):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record


def ordered_steps(history: Sequence[Record]) -> list[Record]:
    """One record a step, in order; a step that was made again after a rollback counts as it was the last time."""
    found: dict[float, Record] = {}
    for record in history:
        step = number(record.get("step")) if isinstance(record, Mapping) else None
        if step is not None:
            found[step] = record
    return [found[step] for step in sorted(found)]


def points(rows: Sequence[Record], key: str) -> list[Point]:
    """(step, value) of the records that have a finite number under `key`; `rows` in order of steps."""
    pairs = ((number(row.get("step")), number(row.get(key))) for row in rows)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def angle_rows(rows: Sequence[Record]) -> list[tuple[float, list[float]]]:
    """(step, radians of each layer) of the steps that recorded angles; all have as many layers as the last."""
    found: list[tuple[float, list[float]]] = []
    for row in rows:
        step, values = number(row.get("step")), row.get("angles")
        angles = [number(v) for v in values] if isinstance(values, list) else []
        if step is not None and angles and all(a is not None for a in angles):
            found.append((step, [a for a in angles if a is not None]))
    return [row for row in found if len(row[1]) == len(found[-1][1])]


def happened(events: Sequence[Record], *names: str) -> list[Record]:
    """The events of some names, in the order in which they were written."""
    return [e for e in events if isinstance(e, Mapping) and e.get("event") in names]
