"""Vectors of passages beside the full text, from the office's own upstream: what is near in meaning.

A vector is kept as signed bytes, for its direction alone; the nearest are found by looking at all of a level's, up to
the asker's, inside SQLite (sqlite-vec). The vector of one fixed text is kept with them and tells whether it is still
the same model: another one's would be of another space, so they are made anew. Where the upstream gives no vectors, the
index is as it was without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import PackageMissing
from so8t.core.text import sentences
from so8t.operate.search.store import IndexStore, in_folders

PASSAGE = 400  # characters of a passage that has a vector of its own
MOST_PASSAGES = 500  # of one part; a longer one is found by its beginning and by its words
BATCH = 16  # passages of one question to the upstream
SCALE = 127.0
SAME = 0.99  # cosine of one text's vectors by the same model


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a part's text, and the level its part is of."""

    part: int
    level: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Near:
    """`distance` 0..2: one minus the cosine."""

    part: int
    level: int
    start: int
    end: int
    distance: float


def loaded(store: IndexStore) -> None:
    """Give SQLite the function that measures. Raises PackageMissing."""
    try:
        import sqlite_vec
    except ModuleNotFoundError:
        raise PackageMissing(detail="sqlite-vec") from None
    store.db.enable_load_extension(True)
    try:
        store.db.load_extension(sqlite_vec.loadable_path())
    finally:
        store.db.enable_load_extension(False)


def prepare(store: IndexStore, probe: Sequence[float]) -> None:
    """Forget the vectors of any other model than the one that gives a fixed text this vector."""
    with store.db:
        known = [np.frombuffer(row[0], np.int8) for row in store.db.execute("SELECT probe FROM pointer")]
        if known and _alike(known[0], np.frombuffer(packed(probe), np.int8)):
            return
        store.db.execute("DELETE FROM pointer")
        store.db.execute("INSERT INTO pointer VALUES(?)", (packed(probe),))
        store.db.execute("UPDATE parts SET pointed = 0")
        for level in range(len(store.levels)):
            store.db.execute(f"DELETE FROM vectors_{level}")


def waiting(store: IndexStore) -> list[Passage]:
    """The passages of the next part without vectors; [] when all have them."""
    while row := store.db.execute("SELECT id, level, text FROM parts WHERE NOT pointed ORDER BY id LIMIT 1").fetchone():
        part, level, text = row
        if found := [Passage(part, level, start, end, text[start:end]) for start, end in spans(text)]:
            return found
        store.db.execute("UPDATE parts SET pointed = 1 WHERE id = ?", (part,))  # a part without words
    return []


def _alike(a: NDArray[np.int8], b: NDArray[np.int8]) -> bool:
    """Whether two vectors are the same but for rounding; another processor may round otherwise."""
    if a.shape != b.shape:
        return False
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y) >= SAME * float(np.linalg.norm(x) * np.linalg.norm(y))


def put(store: IndexStore, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]) -> None:
    """All passages of one part; nothing where the part has gone meanwhile."""
    part, level = passages[0].part, passages[0].level
    with store.db:
        if store.db.execute("SELECT 1 FROM parts WHERE id = ?", (part,)).fetchone() is None:
            return
        store.db.execute(f"DELETE FROM vectors_{level} WHERE part = ?", (part,))
        store.db.executemany(
            f"INSERT INTO vectors_{level}(part, start, end, vector) VALUES(?, ?, ?, ?)",
            [(part, one.start, one.end, packed(vector)) for one, vector in zip(passages, vectors, strict=True)],
        )
        store.db.execute("UPDATE parts SET pointed = 1 WHERE id = ?", (part,))


def nearest(
    store: IndexStore, vector: Sequence[float], clearance: int, folders: Sequence[str] | None, most: int
) -> list[Near]:
    """The nearest passage of each part, of all levels up to `clearance`, the nearest part first."""
    asked, found = packed(vector), dict[int, Near]()
    chosen, values = in_folders(folders)
    for level in range(min(clearance, len(store.levels) - 1) + 1):
        table = f"vectors_{level}"
        statement = (
            f"SELECT {table}.part, start, end, vec_distance_cosine(vec_int8(vector), vec_int8(?)) AS distance "
            f"FROM {table}{chosen.format(table=table, part='part')} ORDER BY distance IS NULL, distance LIMIT ?"
        )
        try:
            rows = list(store.db.execute(statement, (asked, *values, 4 * most)))
        except apsw.SQLError:  # of another length: another model's, about to be made anew
            continue
        for part, start, end, distance in rows:
            if distance is None:  # of a vector of zeros, which points nowhere
                continue
            if part not in found or distance < found[part].distance:
                found[part] = Near(part, level, start, end, distance)
    return sorted(found.values(), key=lambda one: (one.distance, one.part))[:most]


def packed(vector: Sequence[float]) -> bytes:
    """Its direction as signed bytes; a vector of zeros, or one that is not finite, as zeros."""
    values = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length == 0.0:
        return bytes(len(values))
    largest = float(np.abs(values).max())
    # The direction is what counts: the largest value fills the byte, or long vectors would lose their small ones.
    return np.rint(values / largest * SCALE).astype(np.int8).tobytes()


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of passages of at most PASSAGE characters, cut between sentences where they allow."""
    made, start, end = list[tuple[int, int]](), -1, 0
    for sentence in sentences(text):
        begin = text.index(sentence, end)
        if start >= 0 and begin + len(sentence) - start > PASSAGE:
            made.append((start, end))
            start = -1
        while len(sentence) > PASSAGE:
            made.append((begin, begin + PASSAGE))
            begin, sentence = begin + PASSAGE, sentence[PASSAGE:]
        start = begin if start < 0 else start
        end = begin + len(sentence)
    return [*made, (start, end)][:MOST_PASSAGES] if start >= 0 and end > start else made[:MOST_PASSAGES]
