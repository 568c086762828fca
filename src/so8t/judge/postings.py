"""An inverted index in arrays: which documents hold a term and how much it weighs there, summed over a whole query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Vector = Mapping[str, float]  # term -> weight


class Postings:
    """Of vectors numbered from 0. Those added later lie in lists beside the arrays: they are few."""

    def __init__(self, vectors: Sequence[Vector]) -> None:
        self._size = len(vectors)
        numbers: dict[str, int] = {}
        terms = np.fromiter((numbers.setdefault(t, len(numbers)) for v in vectors for t in v), np.int64)
        owners = np.repeat(np.arange(self._size, dtype=np.int32), [len(v) for v in vectors])
        weights = np.fromiter((w for v in vectors for w in v.values()), np.float64)
        order = np.argsort(terms, kind="stable")
        self._owners, self._weights = owners[order], weights[order]
        ends = np.cumsum(np.bincount(terms, minlength=len(numbers))).tolist()
        self._places = {term: (start, end) for term, start, end in zip(numbers, [0, *ends], ends, strict=False)}
        self._later: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def add(self, vector: Vector) -> None:
        """The next number."""
        for term, weight in vector.items():
            self._later[term].append((self._size, weight))
        self._size += 1

    def products(self, query: Vector) -> NDArray[np.float64]:
        """[documents] scalar product of the query with each."""
        found = [(self._places[term], weight) for term, weight in query.items() if term in self._places]
        products: NDArray[np.float64] = np.zeros(self._size)
        if found:
            slices = [slice(*place) for place, _ in found]
            owners = np.concatenate([self._owners[s] for s in slices])
            weights = np.concatenate([self._weights[s] for s in slices])
            weights *= np.repeat([weight for _, weight in found], [b - a for (a, b), _ in found])
            products = np.bincount(owners, weights, minlength=self._size).astype(np.float64, copy=False)
        for term in query.keys() & self._later.keys() if self._later else ():
            for number, weight in self._later[term]:
                products[number] += query[term] * weight
        return products
