"""The index in one SQLite file: files, their parts, and a full-text table for each classification level.

A table a level, because what a query counts and ranks by - how many documents there are, how rare a word is in them -
must come from documents that the asker may read. Tables above his clearance are not part of any statement made for him,
so that nothing about them shows: no hit, count, rank or snippet, and no time spent on them.

One process writes (a lock beside the file), any number read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from so8t.core.errors import IndexBroken
from so8t.operate.search.grams import indexed

VERSION = 3
_SCHEMA = (
    "CREATE TABLE about(version INTEGER NOT NULL, levels TEXT NOT NULL)",
    "CREATE TABLE files(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, level INTEGER, "
    "size INTEGER NOT NULL, changed INTEGER NOT NULL, terms TEXT NOT NULL, reason TEXT NOT NULL, "
    "waiting INTEGER NOT NULL)",
    "CREATE INDEX files_folder ON files(folder)",
    "CREATE TABLE parts(id INTEGER PRIMARY KEY, file INTEGER NOT NULL, level INTEGER NOT NULL, place TEXT NOT NULL, "
    "title TEXT NOT NULL, text TEXT NOT NULL, confidence REAL, page INTEGER, pointed INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX parts_pointed ON parts(id) WHERE NOT pointed",
    "CREATE TABLE pointer(probe BLOB NOT NULL)",
    "CREATE INDEX files_waiting ON files(waiting) WHERE waiting",
    "CREATE INDEX parts_file ON parts(file)",
)
_GRAMS = (
    "CREATE VIRTUAL TABLE grams_{level} USING fts5(pairs, content='', contentless_delete=1, tokenize='ascii', "
    "columnsize=1)"
)
# Vectors of passages (vectors.py), a table a level for the same reason as above.
_VECTORS = (
    "CREATE TABLE vectors_{level}(id INTEGER PRIMARY KEY, part INTEGER NOT NULL, start INTEGER NOT NULL, "
    "end INTEGER NOT NULL, vector BLOB NOT NULL)",
    "CREATE INDEX vectors_part_{level} ON vectors_{level}(part)",
)
SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Known:
    """A file as the index has it. `terms`: what its level was worked out from, besides its text (folders.py).

    waiting: it has pages that only OCR can read, and nothing of it is found before they are.
    """

    path: str
    folder: str
    size: int
    changed: int
    terms: str
    reason: str = ""
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file with a place of its own: the whole of it, a page, a sheet, an attachment.

    confidence, page: of a page read by OCR; None for what lay there as text.
    """

    place: str
    title: str
    text: str
    confidence: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A part that fits. `rank`: FTS5's bm25 within its level, the lower the better."""

    id: int
    level: int
    rank: float


class IndexStore:
    """Raises IndexBroken for a file that is no index of ours; one of other levels or an older version is made anew."""

    def __init__(self, path: Path, levels: Sequence[str], *, write: bool = False) -> None:
        self.path, self.levels = path, tuple(levels)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(write)
            if not self._fits():
                if not write:
                    raise IndexBroken(where=path, detail="levels")
                self.db.close()
                _remove(path)
                self._open(write)
        except apsw.Error as error:
            raise IndexBroken(where=path, detail=type(error).__name__) from error

    def close(self) -> None:
        self.db.close()

    def _open(self, write: bool) -> None:
        new = not self.path.exists()
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if write else apsw.SQLITE_OPEN_READONLY
        if new and not write:
            raise IndexBroken(where=self.path, detail="missing")
        if new:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # it holds the texts of every level
        self.db = apsw.Connection(str(self.path), flags=flags)
        self.db.set_busy_timeout(5000)
        self.db.execute("PRAGMA trusted_schema = OFF")
        if write:
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = NORMAL")  # what a crash loses is found again by the next look
            self.db.execute("PRAGMA secure_delete = ON")
        if new:
            self._create()

    def _create(self) -> None:
        with self.db:
            for statement in _SCHEMA:
                self.db.execute(statement)
            for level in range(len(self.levels)):
                for statement in (_GRAMS, *_VECTORS):
                    self.db.execute(statement.format(level=level))
            self.db.execute("INSERT INTO about VALUES(?, ?)", (VERSION, SEPARATOR.join(self.levels)))

    def _fits(self) -> bool:
        tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if "about" not in tables:
            if tables:
                raise IndexBroken(where=self.path, detail="another database")
            return False
        row = self.db.execute("SELECT version, levels FROM about").fetchone()
        return row == (VERSION, SEPARATOR.join(self.levels))

    # -- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything of the block or nothing of it."""
        with self.db:
            yield

    def put(self, known: Known, level: int | None, parts: Iterable[Part]) -> None:
        """In the place of what the index had of this file. level None: it could not be read, and `reason` says why."""
        self.remove(known.path)
        values = (known.path, known.folder, level, known.size, known.changed, known.terms, known.reason,
                  known.waiting)  # fmt: skip
        self.db.execute(
            "INSERT INTO files(path, folder, level, size, changed, terms, reason, waiting) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        if level is None:
            return
        file = self.db.last_insert_rowid()
        for part in parts:
            self.db.execute(
                "INSERT INTO parts(file, level, place, title, text, confidence, page) VALUES(?, ?, ?, ?, ?, ?, ?)",
                (file, level, part.place, part.title, part.text, part.confidence, part.page),
            )
            row = self.db.last_insert_rowid()
            pairs = indexed(f"{part.place}\n{part.title}\n{part.text}")
            self.db.execute(f"INSERT INTO grams_{level}(rowid, pairs) VALUES(?, ?)", (row, pairs))

    def remove(self, path: str) -> None:
        for (file,) in list(self.db.execute("SELECT id FROM files WHERE path = ?", (path,))):
            for id, level in list(self.db.execute("SELECT id, level FROM parts WHERE file = ?", (file,))):
                self.db.execute(f"DELETE FROM grams_{int(level)} WHERE rowid = ?", (id,))
                self.db.execute(f"DELETE FROM vectors_{int(level)} WHERE part = ?", (id,))
            self.db.execute("DELETE FROM parts WHERE file = ?", (file,))
            self.db.execute("DELETE FROM files WHERE id = ?", (file,))

    def known(self) -> dict[str, Known]:
        rows = self.db.execute("SELECT path, folder, size, changed, terms, reason, waiting FROM files")
        return {
            path: Known(path, folder, size, changed, terms, reason, bool(waiting))
            for path, folder, size, changed, terms, reason, waiting in rows
        }

    def waiting(self) -> list[str]:
        """Paths of the files that wait for OCR, in the order in which they were found."""
        return [path for (path,) in self.db.execute("SELECT path FROM files WHERE waiting ORDER BY id")]

    # -- reading ------------------------------------------------------------------------------------------------

    def find(
        self, expression: str, clearance: int, folders: Sequence[str] | None, most: int
    ) -> tuple[list[Found], int]:
        """The best parts of all levels up to `clearance`, and how many there are. An expression of grams.phrase."""
        found: list[Found] = []
        total = 0
        chosen, values = in_folders(folders)
        for level in range(min(clearance, len(self.levels) - 1) + 1):
            table = f"grams_{level}"
            matching = (
                f"FROM {table}{chosen.format(table=table, part='rowid')} {'AND' if chosen else 'WHERE'} {table} MATCH ?"
            )
            best = f"SELECT {table}.rowid, bm25({table}) AS rank {matching} ORDER BY rank LIMIT ?"
            rows = self.db.execute(best, (*values, expression, most))
            found += [Found(id, level, rank) for id, rank in rows]
            total += self._one(f"SELECT count(*) {matching}", (*values, expression))[0]
        return sorted(found, key=lambda f: (f.rank, f.id))[:most], total

    def _one(self, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        (row,) = self.db.execute(statement, tuple(values))
        return tuple(row)

    def part(self, id: int, clearance: int) -> tuple[str, Part] | None:
        """(file's path, the part); None for one above the clearance, as for one that is not there."""
        row = self.db.execute(
            "SELECT files.path, place, title, text, confidence, page FROM parts JOIN files ON files.id = parts.file "
            "WHERE parts.id = ? AND parts.level <= ?",
            (id, clearance),
        ).fetchone()
        return (row[0], Part(*row[1:])) if row else None

    def state(self) -> dict[str, Any]:
        """For who runs the server: how many files, and what could not be read."""
        files, unread, waiting = self._one(
            "SELECT count(*), count(*) FILTER (WHERE level IS NULL AND NOT waiting), "
            "count(*) FILTER (WHERE waiting) FROM files"
        )
        (scanned,) = self._one("SELECT count(*) FROM parts WHERE confidence IS NOT NULL")
        by_level = dict(self.db.execute("SELECT level, count(*) FROM files WHERE level IS NOT NULL GROUP BY level"))
        unread_ones = "FROM files WHERE level IS NULL AND NOT waiting"
        reasons = dict(self.db.execute(f"SELECT reason, count(*) {unread_ones} GROUP BY reason"))
        return {
            "files": files, "unread": unread, "levels": {self.levels[k]: n for k, n in sorted(by_level.items())},
            "reasons": reasons, "waiting_for_ocr": waiting, "pages_by_ocr": scanned,
        }  # fmt: skip


def in_folders(folders: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    if folders is None:
        return "", ()
    marks = ", ".join("?" * len(folders))
    join = " JOIN parts ON parts.id = {table}.{part} JOIN files ON files.id = parts.file"
    return f"{join} WHERE files.folder IN ({marks})", tuple(folders)


def _remove(path: Path) -> None:
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
