"""Reading a ledger, beside its writer or without one. Nothing here checks the chain: ledger_verify.py does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import apsw

from so8t.core.errors import LedgerBroken, SourceMissing
from so8t.core.ledger_format import open_readonly


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A read-only connection. Raises SourceMissing, and LedgerBroken for what SQLite cannot read."""
    if not path.exists():
        raise SourceMissing(where=path)
    try:
        db = open_readonly(path)
        try:
            yield db
        finally:
            db.close(True)
    except (apsw.Error, UnicodeDecodeError) as error:
        raise LedgerBroken(where=path, detail=f"{type(error).__name__}: {error}") from error


def tail(path: Path, n: int) -> list[dict[str, Any]]:
    """The last n bodies with their hash, oldest first. Raises SourceMissing, LedgerBroken."""
    with reading(path) as db:
        rows = list(db.execute("SELECT body, hash FROM entries ORDER BY seq DESC LIMIT ?", (n,)))
    return [json.loads(body) | {"hash": digest.hex()} for body, digest in reversed(rows)]


def texts_of(path: Path, seq: int) -> dict[str, str]:
    """The texts of one entry; empty when it has none or they were erased."""
    with reading(path) as db:
        return dict(db.execute("SELECT name, text FROM texts WHERE seq = ?", (seq,)))


def count_by_decision(path: Path) -> dict[str, int]:
    """How many entries of kind decision came to each outcome."""
    with reading(path) as db:
        return dict(db.execute("SELECT decision, count(*) FROM entries WHERE kind = 'decision' GROUP BY decision"))


def export(path: Path, out: TextIO) -> int:
    """Every body as it was hashed, one JSON line each, with its hash; returns how many. Erasable text is left out.

    sha256(previous hash + the bytes of "body") is the hash, so the lines can be checked without the database.
    """
    count = 0
    with reading(path) as db:
        for body, digest in db.execute("SELECT body, hash FROM entries ORDER BY seq"):
            out.write(f'{{"body":{body.decode()},"hash":"{digest.hex()}"}}\n')
            count += 1
    return count
