"""Asked once for each prompt or query: calibrating, judging and scoring share one answer, and a card saves its time."""

from __future__ import annotations

from collections.abc import Sequence

from so8t.ask.backend import Backend, Generation
from so8t.core.types import Opinion, Request
from so8t.judge.precedent import Case, PrecedentStore


class Remembering:
    """Backend around another one. The model is deterministic, so the second answer would be the first again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._scores: dict[tuple[str, tuple[str, ...]], list[float]] = {}

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        key = (prompt, tuple(labels))
        if key not in self._scores:
            self._scores[key] = await self._backend.label_scores(prompt, labels)
        return list(self._scores[key])

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        return await self._backend.generate(prompt, maximum_tokens, stop)

    async def tokenize(self, text: str) -> list[int]:
        return await self._backend.tokenize(text)

    async def close(self) -> None:
        await self._backend.close()


class RememberingPrecedents(PrecedentStore):
    """Precedents around other ones: no model changes what was decided in like cases.

    For the calibration split alone: the test split is timed, and what is timed is done.
    """

    def __init__(self, store: PrecedentStore) -> None:
        self.cases = store.cases
        self._store = store
        self._opinions: dict[str, Opinion] = {}

    def nearest(self, query: str, count: int | None = None) -> list[tuple[Case, float]]:
        return self._store.nearest(query, count)

    def rulings(self, query: str, least: float) -> list[tuple[Case, float]]:
        return self._store.rulings(query, least)

    def opinion(self, request: Request) -> Opinion:
        if request.query not in self._opinions:
            self._opinions[request.query] = self._store.opinion(request)
        return self._opinions[request.query]
