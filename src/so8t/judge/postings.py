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
    """Postings sorted by term: those of term t lie at offsets[t] : offsets[t + 1] of `owners` (documents) and
    `weights`, both [postings]. Terms past the last offset have none."""

    offsets: NDArray[np.int64]
    owners: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def sorted(cls, terms: NDArray[np.int64], owners: NDArray[np.int64], weights: NDArray[np.float64]) -> _Run:
        order = np.argsort(terms, kind="stable")
        offsets = np.concatenate(([0], np.cumsum(np.bincount(terms))))
        return cls(offsets, owners[order], weights[order])

    def joined(self, later: _Run) -> _Run:
        terms = [np.repeat(np.arange(len(r.offsets) - 1), np.diff(r.offsets)) for r in (self, later)]
        owners, weights = (self.owners, later.owners), (self.weights, later.weights)
        return _Run.sorted(np.concatenate(terms), np.concatenate(owners), np.concatenate(weights))

    def products(self, terms: NDArray[np.int64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """[size] scalar product of a query (its terms and their weights, [terms]) with each document."""
        here = terms < len(self.offsets) - 1
        terms = terms[here]
        starts, ends = self.offsets[terms], self.offsets[terms + 1]
        slices = [slice(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        if not slices:
            return np.zeros(size)
        found = np.concatenate([self.weights[s] for s in slices]) * np.repeat(weights[here], ends - starts)
        owners = np.concatenate([self.owners[s] for s in slices])
        products: NDArray[np.float64] = np.bincount(owners, found, minlength=size).astype(np.float64, copy=False)
        return products


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
            while len(self._runs) > 1 and len(self._runs[-2].owners) < RATIO * len(self._runs[-1].owners):
                later = self._runs.pop()
                self._runs.append(self._runs.pop().joined(later))

    def products(self, query: Vector) -> NDArray[np.float64]:
        """[documents] scalar product of the query with each."""
        numbers = self._numbers
        known = [(number, weight) for term, weight in query.items() if (number := numbers.get(term)) is not None]
        terms = np.array([number for number, _ in known], np.int64)
        weights = np.array([weight for _, weight in known], np.float64)
        products = self._runs[0].products(terms, weights, self._size)
        for run in self._runs[1:]:
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
