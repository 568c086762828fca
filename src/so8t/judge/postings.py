"""An inverted index in arrays: which documents hold a term and how much it weighs there, summed over a whole query.

Documents added later are gathered and sorted into arrays FEW at a time; a run of arrays is merged into the one before
it while that is less than RATIO times as long (a log-structured merge, O'Neil et al. 1996), so that n additions cost
O(n log n) and a query meets O(log n) runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = Mapping[str, float]  # term -> weight
FEW = 16
RATIO = 4


@dataclass(frozen=True, slots=True)
class _Run:
    """Postings sorted by term: `terms`, `owners` (documents) and `weights`, all [postings]."""

    terms: NDArray[np.int64]
    owners: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def sorted(cls, terms: NDArray[np.int64], owners: NDArray[np.int64], weights: NDArray[np.float64]) -> _Run:
        order = np.argsort(terms, kind="stable")
        return cls(terms[order], owners[order], weights[order])

    def joined(self, later: _Run) -> _Run:
        pairs = zip((self.terms, self.owners, self.weights), (later.terms, later.owners, later.weights), strict=True)
        terms, owners, weights = (np.concatenate(pair) for pair in pairs)
        return _Run.sorted(terms, owners, weights)

    def products(self, terms: NDArray[np.int64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """[size] scalar product of a query (its terms and their weights, [terms]) with each document."""
        starts = np.searchsorted(self.terms, terms, "left")
        ends = np.searchsorted(self.terms, terms, "right")
        slices = [slice(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        found = np.concatenate([self.weights[s] for s in slices]) * np.repeat(weights, ends - starts)
        return np.bincount(np.concatenate([self.owners[s] for s in slices]), found, minlength=size)


class Postings:
    """Of vectors numbered from 0."""

    def __init__(self, vectors: Sequence[Vector]) -> None:
        self._numbers: dict[str, int] = {}
        self._size = len(vectors)
        self._runs = [self._run(vectors, 0)]
        self._gathered: list[Vector] = []

    def add(self, vector: Vector) -> None:
        """The next number."""
        self._gathered.append(vector)
        self._size += 1
        if len(self._gathered) == FEW:
            self._runs.append(self._run(self._gathered, self._size - FEW))
            self._gathered = []
            while len(self._runs) > 1 and len(self._runs[-2].terms) < RATIO * len(self._runs[-1].terms):
                later = self._runs.pop()
                self._runs.append(self._runs.pop().joined(later))

    def products(self, query: Vector) -> NDArray[np.float64]:
        """[documents] scalar product of the query with each."""
        known = [(self._numbers[term], weight) for term, weight in query.items() if term in self._numbers]
        terms = np.array([number for number, _ in known], np.int64)
        weights = np.array([weight for _, weight in known], np.float64)
        products: NDArray[np.float64] = np.zeros(self._size)
        for run in self._runs if known else ():
            products += run.products(terms, weights, self._size)
        for number, vector in enumerate(self._gathered, self._size - len(self._gathered)):
            products[number] = sum(weight * vector[term] for term, weight in query.items() if term in vector)
        return products

    def _run(self, vectors: Sequence[Vector], first: int) -> _Run:
        numbers = self._numbers
        terms = np.fromiter((numbers.setdefault(t, len(numbers)) for v in vectors for t in v), np.int64)
        owners = np.repeat(np.arange(first, first + len(vectors)), [len(v) for v in vectors])
        weights = np.fromiter((w for v in vectors for w in v.values()), np.float64)
        return _Run.sorted(terms, owners.astype(np.int64), weights)
