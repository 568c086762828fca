"""What was decided in the nearest past cases, and by whom. An empty store, or nothing near, abstains."""

from __future__ import annotations

import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from so8t.core.errors import RecordInvalid
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import DECISIONS, Decision, Opinion, Request
from so8t.decide.views import clearest

# Chosen by leaving one writing pass out at a time (benchmarks/precedents.py), never on calibration or test requests.
NEIGHBOURS = 9
NEAREST = 0.05  # least cosine similarity of a case that counts as like
SHARPNESS = 2.0
PRIOR = 0.3  # pseudo-votes of each decision: a case that is only just like another decides nothing


@dataclass(frozen=True, slots=True)
class Case:
    """A decided case; `by` is a person or the pass of writing it came from."""

    id: str
    query: str
    decision: Decision
    by: str

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "query": self.query, "decision": self.decision, "by": self.by}

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> Case:
        try:
            return cls(str(record["id"]), str(record["query"]), Decision(record["decision"]), str(record.get("by", "")))
        except (KeyError, ValueError) as error:
            raise RecordInvalid(where=where, detail=str(error)) from error


class PrecedentStore:
    """Cases by character 1-3-grams with inverse document frequency, in an inverted index."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = list(cases)
        grams = [_grams(c.query) for c in self.cases]
        frequency = Counter(g for counts in grams for g in counts)
        self._idf = {g: float(np.log((1 + len(grams)) / (1 + n))) + 1 for g, n in frequency.items()}
        self._index: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for number, counts in enumerate(grams):
            for gram, value in self._vector(counts).items():
                self._index[gram].append((number, value))

    def _vector(self, counts: Mapping[int, int]) -> dict[int, float]:
        rare = float(np.log(1 + len(self.cases))) + 1
        values = {g: float(np.sqrt(n)) * self._idf.get(g, rare) for g, n in counts.items()}
        norm = float(np.sqrt(sum(v * v for v in values.values()))) or 1.0
        return {g: v / norm for g, v in values.items()}

    def nearest(self, query: str, count: int | None = None) -> list[tuple[Case, float]]:
        """The NEIGHBOURS (or `count`) most similar cases with their cosine similarity, best first."""
        scores: dict[int, float] = defaultdict(float)
        for gram, value in self._vector(_grams(query)).items():
            for number, other in self._index.get(gram, ()):
                scores[number] += value * other
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[: count or NEIGHBOURS]
        return [(self.cases[number], score) for number, score in best]

    def opinion(self, request: Request) -> Opinion:
        begin = time.perf_counter()
        near = [(case, s) for case, s in self.nearest(clearest(request.query).text) if s >= NEAREST]
        if not near:
            return Opinion("precedent", reason="似た先例なし", ms=(time.perf_counter() - begin) * 1000)
        votes = {d: PRIOR + sum((s / NEAREST) ** SHARPNESS for c, s in near if c.decision == d) for d in DECISIONS}
        total = sum(votes.values())
        probabilities = {d: v / total for d, v in votes.items()}
        best = max(DECISIONS, key=lambda d: (probabilities[d], d.severity))
        case, similarity = next(((c, s) for c, s in near if c.decision == best), near[0])
        reason = f"先例 {case.id} ({case.decision}, 類似度 {similarity:.2f}) ほか{len(near) - 1}件"
        return Opinion("precedent", best, probabilities, reason=reason, ms=(time.perf_counter() - begin) * 1000)


def _grams(text: str) -> Counter[int]:
    key = dedup_key(text)
    return Counter(zlib.crc32(g.encode()) for n in (1, 2, 3) for g in ngrams(key, n))
