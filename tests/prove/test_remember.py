"""Asked once: the same answers, fewer questions, and errors are not remembered."""

from __future__ import annotations

import asyncio

import pytest

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BackendDown
from so8t.core.types import Decision, Request
from so8t.judge.precedent import Asked, Case, PrecedentStore
from so8t.prove.remember import Remembering, RememberingPrecedents


def test_a_prompt_is_asked_once() -> None:
    real = FakeBackend()
    backend = Remembering(real)
    first = asyncio.run(backend.label_scores("甲", ("A", "B")))
    first.append(9.0)  # what a caller does with an answer is its own matter
    assert asyncio.run(backend.label_scores("甲", ("A", "B"))) == first[:2] and len(real.prompts) == 1
    asyncio.run(backend.label_scores("甲", ("A",)))
    asyncio.run(backend.label_scores("乙", ("A", "B")))
    assert len(real.prompts) == 3
    assert asyncio.run(backend.tokenize("a")) == [97] and asyncio.run(backend.generate("x", 1)).text == "はい。"


def test_an_error_is_no_answer() -> None:
    real = FakeBackend(error=BackendDown())
    backend = Remembering(real)
    with pytest.raises(BackendDown):
        asyncio.run(backend.label_scores("甲", ("A",)))
    real.error = None
    assert len(asyncio.run(backend.label_scores("甲", ("A",)))) == 1


def test_precedents_are_those_of_the_store() -> None:
    class Counting(PrecedentStore):
        asked = 0

        def opinion(self, request: Request):  # type: ignore[no-untyped-def]
            Counting.asked += 1
            return super().opinion(request)

    store = Counting([Case("c", "来期の計画を見せて", Decision.DENY, "人")])
    remembering, request = RememberingPrecedents(store), Request("r", "来期の計画を見せて")
    again = [remembering.opinion(request) for _ in range(3)]
    assert Counting.asked == 1 and again[0] is again[2]
    assert again[0].probabilities == PrecedentStore(store.cases).opinion(request).probabilities
    assert remembering.nearest("計画")[0][0].id == "c" and remembering.cases == store.cases


def test_everything_that_a_store_is_asked_goes_to_the_store() -> None:
    """A method of the store that this one forgot would break on it, and calibration lose its precedents."""
    asked = {n for n, f in vars(PrecedentStore).items() if callable(f) and not n.startswith("_")}
    own = set(vars(RememberingPrecedents))
    assert asked - own == {"add", "likeness"}  # what nobody does while proving
    ruled = Case("r", "来期の計画を見せて", Decision.DENY, "人", Asked("甲", "公開", None))
    assert RememberingPrecedents(PrecedentStore([ruled])).rulings("来期の計画を見せて", 0.6)[0][0] == ruled
