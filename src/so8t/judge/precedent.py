"""What was decided in the nearest past cases, and by whom. An empty store, or nothing near, abstains."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import RecordInvalid
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import DECISIONS, Decision, Opinion, Request
from so8t.decide.views import clearest
from so8t.judge.postings import Postings

# Chosen by leaving writing passes out (benchmarks/precedents.py), never on calibration or test requests: NEIGHBOURS and
# SHARPNESS by what precedents say alone, ONE_VOTE and PRIOR by the likelihood together with the wording model.
NEIGHBOURS = 9
NEAREST = 0.05  # least cosine similarity of a case that counts as like
ONE_VOTE = 0.15  # the similarity that weighs as one vote: half of all requests have no case as like as this
SHARPNESS = 2.0
LEAST = 1e-12  # of a product: below is nothing in common
PRIOR = 0.3  # pseudo-votes of each decision: a case that is only just like another decides nothing


@dataclass(frozen=True, slots=True)
class Asked:
    """By whom a case was asked, and with which levels."""

    user: str
    clearance: str
    classification: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """A decided case; `by` is a person or the pass of writing it came from.

    asked: of a case that a reviewer has decided here. Such a case settles the same request (judge/ruling.py) and has no
    vote on others: as a vote it moved more look-alikes wrongly than rightly (benchmarks/review_month.py).
    """

    id: str
    query: str
    decision: Decision
    by: str
    asked: Asked | None = None

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "query": self.query, "decision": self.decision, "by": self.by}

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> Case:
        try:
            return cls(str(record["id"]), str(record["query"]), Decision(record["decision"]), str(record.get("by", "")))
        except (KeyError, ValueError) as error:
            raise RecordInvalid(where=where, detail=str(error)) from error


class PrecedentStore:
    """Cases by character 1-3-grams with inverse document frequency, in an inverted index.

    Frequencies are those of the first cases alone, so that what people decide later, added in whatever order, leaves
    the likeness of all others as it was measured.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = list(cases)
        self._ids = {case.id for case in cases}
        self._ruled = [n for n, case in enumerate(self.cases) if case.asked is not None]
        self._rare = math.log(1 + len(self.cases)) + 1
        grams = [_grams(c.query) for c in self.cases]
        frequency = Counter(g for counts in grams for g in counts)
        self._idf = {g: math.log((1 + len(grams)) / (1 + n)) + 1 for g, n in frequency.items()}
        self._postings = Postings([self._vector(counts) for counts in grams])

    def add(self, case: Case) -> None:
        """One more case, from now on; one that is there already by its id is left as it is."""
        if case.id not in self._ids:
            self._ids.add(case.id)
            if case.asked is not None:
                self._ruled.append(len(self.cases))
            self.cases.append(case)
            self._postings.add(self._vector(_grams(case.query)))

    def _vector(self, counts: Mapping[str, int]) -> dict[str, float]:
        rarities = np.array([self._idf.get(g, self._rare) for g in counts], np.float64)
        values = np.sqrt(np.array(list(counts.values()), np.float64)) * rarities
        norm = math.sqrt(values @ values) or 1.0
        return dict(zip(counts, (values / norm).tolist(), strict=True))

    def nearest(self, query: str, count: int | None = None) -> list[tuple[Case, float]]:
        """The NEIGHBOURS (or `count`) most similar cases with their cosine similarity, best first."""
        return self._best(self._postings.products(self._vector(_grams(query))), count)

    def rulings(self, query: str, least: float) -> list[tuple[Case, float]]:
        """Every case decided here by a person whose cosine similarity is at least `least`."""
        if not self._ruled:
            return []
        products = self._postings.products(self._vector(_grams(query)))
        return [(self.cases[n], float(products[n])) for n in self._ruled if products[n] >= least]

    def likeness(self, one: str, other: str) -> float:
        """Cosine similarity of two texts by the rarities of this store."""
        first, second = self._vector(_grams(one)), self._vector(_grams(other))
        return sum(value * second.get(gram, 0.0) for gram, value in first.items())

    def _best(self, products: NDArray[np.float64], count: int | None = None) -> list[tuple[Case, float]]:
        wanted = min(count or NEIGHBOURS, len(products))
        if not wanted:
            return []
        least = max(np.partition(products, -wanted)[-wanted], LEAST)
        near = [(n, float(products[n])) for n in np.flatnonzero(products >= least).tolist()]
        best = sorted(near, key=lambda item: (-item[1], item[0]))[:wanted]
        return [(self.cases[number], score) for number, score in best]

    def opinion(self, request: Request) -> Opinion:
        begin = time.perf_counter()
        products = self._postings.products(self._vector(_grams(clearest(request.query).text)))
        products[self._ruled] = 0.0
        near = [(case, s) for case, s in self._best(products) if s >= NEAREST]
        if not near:
            return Opinion("precedent", reason="似た先例なし", ms=(time.perf_counter() - begin) * 1000)
        votes = {d: PRIOR + sum((s / ONE_VOTE) ** SHARPNESS for c, s in near if c.decision == d) for d in DECISIONS}
        total = sum(votes.values())
        probabilities = {d: v / total for d, v in votes.items()}
        best = max(DECISIONS, key=lambda d: (probabilities[d], d.severity))
        case, similarity = next(((c, s) for c, s in near if c.decision == best), near[0])
        reason = f"先例 {case.id} ({case.decision}, 類似度 {similarity:.2f}) ほか{len(near) - 1}件"
        return Opinion("precedent", best, probabilities, reason=reason, ms=(time.perf_counter() - begin) * 1000)


def _grams(text: str) -> Counter[str]:
    key = dedup_key(text)
    return Counter([*key, *ngrams(key, 2), *ngrams(key, 3)])
