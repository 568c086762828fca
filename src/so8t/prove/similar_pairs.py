"""All pairs of texts that share enough character 3-grams, without comparing every text with every other.

Likeness is the Jaccard index of the two texts' sets of 3-grams in their spelling-insensitive form (dedup_key of
core/text.py): it depends on the two texts alone, so that a figure means the same in every log. Prefix filter after
Chaudhuri, Ganti and Kaushik 2006: put each set's grams in one order, rarest first; two sets of Jaccard index t or more
share a gram among the first n - ceil(t n) + 1 of each, so only these are indexed. Exact unless a row has more
candidates than CANDIDATES or more like texts than NEIGHBOURS, which is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import dedup_key

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
LONGEST = 4_000  # characters of a text that are read: beyond that the beginning stands for it
CANDIDATES = 256  # texts compared with one text at most, those that share most of their rare grams
NEIGHBOURS = 64  # like texts kept for one text at most, the most similar; bounds memory at 64 pairs a text
_CODE = 21  # bits of a code point


@dataclass(frozen=True, slots=True)
class Pairs:
    """[n] rows left < right with their likeness; `capped` = rows that had more like texts than are listed."""

    left: Numbers
    right: Numbers
    likeness: Floats
    capped: int = 0

    def __len__(self) -> int:
        return len(self.left)


def grams(text: str) -> Numbers:
    """The distinct 3-grams of a text as numbers, sorted; a shorter text is one gram. Two texts never collide."""
    codes = np.frombuffer(dedup_key(text[:LONGEST]).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.int64)
    codes = np.pad(codes, (0, max(0, 3 - len(codes))))
    return np.unique(codes[:-2] | codes[1:-1] << _CODE | codes[2:] << 2 * _CODE)


def similar_pairs(texts: Sequence[str], least: float, advance: Callable[[], None] = lambda: None) -> Pairs:
    """Pairs of rows of `texts` with a Jaccard index of at least `least` (0 < least <= 1); `advance` once a text."""
    if not texts:
        return Pairs(*_empty())
    sets = [grams(t) for t in texts]
    order = np.argsort([len(s) for s in sets], kind="stable")  # by size: what is too small for a row lies before it
    index = _Index([sets[i] for i in order], least)
    found = []
    for row in range(len(sets)):
        found.append(index.before(row))
        advance()
    capped = sum(more for *_, more in found)
    sizes = np.array([len(rows) for rows, *_ in found])
    one = order[np.repeat(np.arange(len(sets)), sizes)]
    other = order[np.concatenate([rows for rows, *_ in found])]
    likeness = np.concatenate([values for _, values, _ in found])
    return Pairs(np.minimum(one, other), np.maximum(one, other), likeness, capped)


def _empty() -> tuple[Numbers, Numbers, Floats]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)


class _Index:
    """Sets sorted by size, their grams as ranks (0 = rarest), and which rows have a rank in their prefix."""

    def __init__(self, sets: Sequence[Numbers], least: float) -> None:
        self.sizes = np.array([len(s) for s in sets])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        row = np.repeat(np.arange(len(sets)), self.sizes)
        _, number, often = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
        rank = np.empty(len(often), np.int64)
        rank[np.argsort(often, kind="stable")] = np.arange(len(often))
        flat = rank[number]
        self.ranks = flat[np.lexsort((flat, row))]
        self.least = least
        prefix = self.sizes - np.ceil(least * self.sizes - 1e-9).astype(np.int64) + 1
        head = np.arange(len(flat)) - np.repeat(self.starts[:-1], self.sizes) < np.repeat(prefix, self.sizes)
        self.prefix = prefix
        by_rank = np.argsort(self.ranks[head], kind="stable")  # rows stay in ascending order within a rank
        self.posted = row[head][by_rank]
        self.places = self.ranks[head][by_rank] * len(sets) + self.posted
        self._marked = np.zeros(len(often), bool)

    def row(self, i: int) -> Numbers:
        ranks: Numbers = self.ranks[self.starts[i] : self.starts[i + 1]]
        return ranks

    def before(self, i: int) -> tuple[Numbers, Floats, bool]:
        """(earlier rows like row i, their likeness, whether there were more)."""
        rows, more = self._candidates(i)
        if not len(rows):
            return rows, np.zeros(0), more
        shared = self._shared(i, rows)
        likeness = shared / (self.sizes[i] + self.sizes[rows] - shared)
        like = np.flatnonzero(likeness >= self.least - 1e-12)
        if len(like) > NEIGHBOURS:
            like, more = like[np.argsort(-likeness[like], kind="stable")[:NEIGHBOURS]], True
        return rows[like], likeness[like], more

    def _candidates(self, i: int) -> tuple[Numbers, bool]:
        """Earlier rows of sufficient size that share a gram of the prefix."""
        smallest = int(np.searchsorted(self.sizes, math.ceil(self.least * self.sizes[i] - 1e-9)))
        base = self.row(i)[: self.prefix[i]] * len(self.sizes)
        last = np.searchsorted(self.places, base + i)
        # Of a gram in very many rows the nearest in size are enough: they alone exceed CANDIDATES.
        first = np.maximum(np.searchsorted(self.places, base + smallest), last - 2 * CANDIDATES)
        rows, often = np.unique(self.posted[_ranges(first, last - first)], return_counts=True)
        if len(rows) <= CANDIDATES:
            return rows, False
        return rows[np.sort(np.argsort(-often, kind="stable")[:CANDIDATES])], True

    def _shared(self, i: int, rows: Numbers) -> Floats:
        """How many grams each of these rows shares with row i."""
        self._marked[self.row(i)] = True
        sizes = self.sizes[rows]
        hits = self._marked[self.ranks[_ranges(self.starts[rows], sizes)]]
        shared = np.add.reduceat(hits.astype(np.float64), np.cumsum(sizes) - sizes)
        self._marked[self.row(i)] = False
        return shared


def _ranges(starts: Numbers, lengths: Numbers) -> Numbers:
    """start, start + 1, ... of every range, one after the other."""
    ends = np.cumsum(lengths)
    ranges: Numbers = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
    return ranges


def connected_groups(n: int, pairs: Pairs) -> Numbers:
    """[n] the smallest row that each row hangs together with."""
    group = np.arange(n)
    while True:
        low = np.minimum(group[pairs.left], group[pairs.right])
        hooked = group.copy()
        np.minimum.at(hooked, group[pairs.left], low)
        np.minimum.at(hooked, group[pairs.right], low)
        while not np.array_equal(hooked[hooked], hooked):
            hooked = hooked[hooked]
        if np.array_equal(hooked, group):
            return group
        group = hooked
