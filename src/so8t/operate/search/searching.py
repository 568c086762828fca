"""A question -> documents with the passage that answers it, of what the asker may read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.types import Levels
from so8t.decide.policy_sections import ReadingPolicy
from so8t.operate.search.grams import pattern, phrase, terms, words
from so8t.operate.search.store import Found, IndexStore, Part
from so8t.operate.search.vectors import Near, nearest

MAXIMUM_QUERY = 1000  # characters
MOST = 50
READING = ReadingPolicy()
PASSAGE = 240  # characters
FUSION = 60  # as in the paper
MAXIMUM_MATCHES = 2000  # of one part that are looked at for the best passage


@dataclass(frozen=True, slots=True)
class Hit:
    """`passage` begins at `start` of the part's text; `marks`: where in it the terms stand, (from, to).

    confidence: of OCR, None for text proper; page: of what was read by OCR. doubtful: less than the policy asks for.
    near: found by its meaning, not by the words of the question.
    """

    id: str
    path: str
    place: str
    title: str
    level: str
    passage: str
    start: int
    marks: tuple[tuple[int, int], ...]
    confidence: float | None = None
    page: int | None = None
    doubtful: bool = False
    near: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "path": self.path, "place": self.place, "title": self.title, "classification": self.level,
            "passage": self.passage, "start": self.start, "marks": [list(m) for m in self.marks], "near": self.near,
            "ocr": None if self.confidence is None else {
                "confidence": round(self.confidence, 4), "page": self.page, "doubtful": self.doubtful,
            },
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """`total` counts what the asker may read. `loosely`: no document has all terms; these have some."""

    hits: tuple[Hit, ...]
    total: int
    loosely: bool

    def to_json(self) -> dict[str, Any]:
        return {"total": self.total, "loosely": self.loosely, "hits": [hit.to_json() for hit in self.hits]}


def search(
    store: IndexStore, query: str, clearance: str, folders: Sequence[str] | None = None, most: int = 10,
    reading: ReadingPolicy = READING, vector: Sequence[float] | None = None,
) -> Result:  # fmt: skip
    """All terms (quoted, or between spaces) anywhere in a document; where none has all, the words of the question, and
    with its `vector` what is near in meaning.

    Raises RecordInvalid for a query that is too long or holds nothing to look for, LevelUnknown.
    """
    if len(query) > MAXIMUM_QUERY:
        raise RecordInvalid(where="query", detail=f"> {MAXIMUM_QUERY} characters")
    rank = _rank(store, clearance)
    wanted, most = terms(query), min(max(most, 1), MOST)
    if not wanted:
        raise RecordInvalid(where="query", detail="nothing to look for")
    found, total = store.find(" AND ".join(map(phrase, wanted)), rank, folders, most)
    loosely = False
    if not found and (alternatives := words(query)):
        wanted, loosely = alternatives, True
        found, total = store.find(" OR ".join(map(phrase, wanted)), rank, folders, most)
    near = nearest(store, vector, rank, folders, most) if vector is not None and (loosely or not found) else []
    added = {one.part: one for one in near if one.part not in {f.id for f in found}}
    hits = [
        _hit(store, id, level, rank, wanted, reading, added.get(id)) for id, level in fused(found, near)[:most]
    ]  # fmt: skip
    kept = tuple(hit for hit in hits if hit is not None)
    return Result(kept, total + len(added), bool(kept) and (loosely or bool(near)))


def fused(found: Sequence[Found], near: Sequence[Near]) -> list[tuple[int, int]]:
    """(part, level) by reciprocal rank fusion (Cormack et al. 2009): what both lists have high comes first."""
    scores: dict[tuple[int, int], float] = {}
    for ranked in ([(f.id, f.level) for f in found], [(n.part, n.level) for n in near]):
        for place, one in enumerate(ranked):
            scores[one] = scores.get(one, 0.0) + 1.0 / (FUSION + place)
    return sorted(scores, key=lambda one: (-scores[one], one))


def _rank(store: IndexStore, clearance: str) -> int:
    return Levels(store.levels).rank(clearance)


def _hit(
    store: IndexStore, id: int, level: int, clearance: int, wanted: list[str], reading: ReadingPolicy,
    near: Near | None = None,
) -> Hit | None:  # fmt: skip
    """None for a part that has gone between the two statements."""
    read = store.part(id, clearance)
    if read is None:
        return None
    path, part = read
    start, passage, marks = best_passage(part, wanted)
    if near is not None:
        start, passage, marks = near.start, part.text[near.start : near.end][:PASSAGE], ()
    doubtful = part.confidence is not None and reading.doubts(part.confidence)
    return Hit(
        document_id(path, part.place), path, part.place, part.title, store.levels[level], passage, start, marks,
        part.confidence, part.page, doubtful, near is not None,
    )  # fmt: skip


def document_id(path: str, place: str) -> str:
    """Tells documents apart without telling how many there are."""
    return hashlib.sha256(f"{path}\0{place}".encode()).hexdigest()[:16]


def best_passage(part: Part, wanted: list[str]) -> tuple[int, str, tuple[tuple[int, int], ...]]:
    """(start, passage, marks): the PASSAGE characters with the most different terms, then with the most of them."""
    matches = []
    for match in pattern(wanted).finditer(part.text):
        matches.append((match.start(), match.end(), "".join(match.group().split()).lower()))
        if len(matches) == MAXIMUM_MATCHES:
            break
    if not matches:
        return 0, part.text[:PASSAGE], ()
    best, best_score, last = 0, (0, 0), 0
    for first in range(len(matches)):
        last = max(last, first)
        while last < len(matches) and matches[last][1] - matches[first][0] <= PASSAGE:
            last += 1
        inside = matches[first : max(last, first + 1)]
        score = (len({term for _, _, term in inside}), len(inside))
        if score > best_score:
            best, best_score = first, score
    start = _begin(part.text, matches[best][0])
    end = min(len(part.text), start + PASSAGE)
    marks = tuple((a - start, min(b, end) - start) for a, b, _ in matches if start <= a < end)
    return start, part.text[start:end], marks


def _begin(text: str, at: int) -> int:
    """The start of the sentence or line before a place, if it is near."""
    near = text[max(0, at - PASSAGE // 3) : at]
    cut = max(near.rfind(mark) for mark in "。\n!?")
    return max(0, at - PASSAGE // 3) + cut + 1 if cut >= 0 else max(0, at - PASSAGE // 6)
