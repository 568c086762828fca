"""All three judges: late, broken and lying ones only ever make the verdict more careful."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.ask.backend import FakeBackend, Generation
from so8t.core.errors import BackendDown, BackendProtocol, BundleBroken, LevelUnknown
from so8t.core.packaged import policy_text
from so8t.core.types import DECISIONS, Domain, Opinion, Request, Verdict
from so8t.decide.allow_limit import AllowLimit
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge import triple
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import Case, PrecedentStore
from so8t.judge.triple import TripleJudge, load_triple, read_calibration

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}{{ m.content }}{% endfor %}")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
HARMLESS = Request("r", "会議の議事録を三行にまとめてください。", "社内限定", "公開", Domain.BUSINESS)
FORBIDDEN = Request(
    "r", "来年度の試験計画を全部見せてください。", "公開", "極秘", Domain.DEFENSE
)  # two levels up: hard DENY
ALLOWS = {"": [5.0, 0.0, -5.0]}


def judge(backend: Any, seconds: float = 5.0, cases: Sequence[Case] = ()) -> TripleJudge:
    model = ModelJudge(backend, CHAT, "compact", 1.0)
    return TripleJudge(POLICY, model, PrecedentStore(cases), ANY, Calibration(), "digest", seconds)


def verdict(judge_: TripleJudge, request: Request) -> Verdict:
    return asyncio.run(judge_.judge(request))


def opinion(found: Verdict, name: str) -> Opinion:
    return next(o for o in found.opinions if o.judge == name)


@dataclass
class SlowBackend(FakeBackend):
    seconds: float = 30.0
    cancelled: list[bool] = field(default_factory=list)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(True)
            raise
        return [0.0] * len(labels)


def test_all_three_speak_in_order() -> None:
    found = verdict(judge(FakeBackend(ALLOWS), cases=[Case("c", HARMLESS.query, A, "甲")]), HARMLESS)
    assert [o.judge for o in found.opinions] == ["rule", "model", "precedent"]
    assert found.decision is A and found.request_id == "r" and found.payload_digest == "digest"
    assert found.policy_digest == POLICY.digest and found.domain is Domain.BUSINESS


def test_a_late_model_escalates_in_time() -> None:
    backend = SlowBackend()
    begin = time.perf_counter()
    found = verdict(judge(backend, 0.05), HARMLESS)
    assert time.perf_counter() - begin < 2
    model = opinion(found, "model")
    assert found.decision is E and model.failed and model.decision is None and model.probabilities is None
    assert "0.05" in model.reason and backend.cancelled == [True]


@pytest.mark.parametrize(
    "backend",
    [
        SlowBackend(),
        FakeBackend(error=BackendDown()),
        FakeBackend(error=BackendProtocol()),
        FakeBackend({"": [math.nan] * 3}),
    ],
    ids=["late", "down", "protocol", "nan"],
)
def test_without_its_model_a_floor_still_denies_and_the_rest_escalates(backend: FakeBackend) -> None:
    made = judge(backend, 0.05)
    assert verdict(made, FORBIDDEN).decision is D
    found = verdict(made, HARMLESS)
    assert found.decision is E and opinion(found, "model").failed


def test_a_persuaded_model_lowers_no_floor() -> None:
    cases = [Case(f"c{n}", FORBIDDEN.query, A, "甲") for n in range(5)]
    found = verdict(judge(FakeBackend({"": [50.0, 0.0, 0.0]}), cases=cases), FORBIDDEN)
    assert found.decision is D and found.probabilities[A] == 0 == found.probabilities[E]
    assert opinion(found, "model").decision is A and "clearance" in found.rules


def broken(error: Exception) -> Callable[..., Opinion]:
    def call(*_: Any) -> Opinion:
        raise error

    return call


ERRORS = [
    ValueError("秘密の中身"),
    KeyError("x"),
    ZeroDivisionError(),
    RecursionError(),
    MemoryError(),
    TypeError("x"),
    IndexError("x"),
    AttributeError("x"),
    AssertionError("x"),
    RuntimeError("x"),
    UnicodeEncodeError("utf-8", "x", 0, 1, "y"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_judge_that_breaks_has_failed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(triple, "rule_opinion", broken(error))
    found = verdict(judge(FakeBackend(ALLOWS)), HARMLESS)
    assert found.decision is E and opinion(found, "rule").failed
    assert "秘密の中身" not in json.dumps(found.to_json(), ensure_ascii=False)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_precedent_store_that_breaks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(PrecedentStore, "opinion", broken(error))
    assert verdict(judge(FakeBackend(ALLOWS)), HARMLESS).decision is E
    assert verdict(judge(FakeBackend(ALLOWS)), FORBIDDEN).decision is D


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_model_that_breaks(error: Exception) -> None:
    made = judge(FakeBackend(error=error))
    assert verdict(made, HARMLESS).decision is E
    assert verdict(made, FORBIDDEN).decision is D


@pytest.mark.parametrize("scores", [["a", "b", "c"], None, [None] * 3, [[1.0]] * 3])
def test_scores_that_are_no_numbers(scores: Any) -> None:
    class Odd(FakeBackend):
        async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
            return scores  # type: ignore[no-any-return]

    assert verdict(judge(Odd()), HARMLESS).decision is E


def test_being_stopped_is_no_failed_judge() -> None:
    """Ctrl-C and cancellation are not swallowed."""

    async def main() -> None:
        task = asyncio.create_task(judge(SlowBackend()).judge(HARMLESS))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.mark.parametrize("query", ["", " ", "\x00", "\ud800", "a" * 20_000, "\u200b" * 100, "𠮷野家で🍣"])
def test_odd_queries_get_a_verdict(query: str) -> None:
    found = verdict(judge(FakeBackend(ALLOWS)), replace(HARMLESS, query=query, domain=None))
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_an_unknown_level_is_the_askers_mistake() -> None:
    for change in (
        {"clearance": "最高機密"},
        {"classification": "最高機密"},
        {"clearance": ""},
        {"classification": ""},
    ):
        with pytest.raises(LevelUnknown):
            verdict(judge(FakeBackend(ALLOWS)), replace(HARMLESS, **change))


def test_an_empty_precedent_store_is_silent() -> None:
    found = verdict(judge(FakeBackend(ALLOWS)), HARMLESS)
    assert opinion(found, "precedent").abstains and found.decision is A


def test_the_domain_is_stated_or_told_by_the_model() -> None:
    told = replace(ANY, bias=np.array([0, 0, 0, 9, 0, 0, 0, 0], np.float32))
    made = replace(judge(FakeBackend(ALLOWS)), domains=told)
    assert verdict(made, replace(HARMLESS, domain=None)).domain is Domain.MEDICAL
    assert verdict(made, HARMLESS).domain is Domain.BUSINESS


def test_fusion_temperature_is_the_calibrated_one() -> None:
    sharp, flat = (
        replace(judge(FakeBackend(ALLOWS)), calibration=Calibration(fusion_temperature=t)) for t in (0.5, 5.0)
    )
    assert verdict(sharp, HARMLESS).probabilities[A] > verdict(flat, HARMLESS).probabilities[A]


def test_the_calibrated_limit_hands_over_what_is_too_likely_dangerous() -> None:
    free = verdict(judge(FakeBackend(ALLOWS)), HARMLESS)
    danger = free.probabilities[D]
    for below, expected in ((danger * 1.01, A), (danger * 0.99, E)):
        limited = replace(judge(FakeBackend(ALLOWS)), calibration=Calibration(allow=AllowLimit(below)))
        found = verdict(limited, HARMLESS)
        assert found.decision is expected and found.probabilities == free.probabilities
    assert "危険の見込み" in found.reason


def test_generation_is_not_part_of_judging() -> None:
    class Mute(FakeBackend):
        async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
            raise AssertionError("judging must not answer")

    assert verdict(judge(Mute(ALLOWS)), HARMLESS).decision is A


def test_the_judges_of_a_bundle(bundle_copy: Path) -> None:
    calibration = read_calibration(bundle_copy, "Q8_0")
    made = load_triple(bundle_copy, FakeBackend(ALLOWS), calibration, "p")
    assert made.model.temperatures == calibration.pool and made.payload_digest == "p"
    assert made.model.wording is not None and made.model.wording.rarity.any()
    assert len(made.precedents.cases) > 100 and made.policy.digest
    assert verdict(made, FORBIDDEN).decision is D
    with pytest.raises(BundleBroken, match="Q2_K"):
        read_calibration(bundle_copy, "Q2_K")


def test_precedents_hold_no_evaluation_data(micro_run: Path) -> None:
    held = [
        json.loads(line)["text"]
        for split in ("calibration", "test", "validation")
        for line in (micro_run / "validate" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    cases = {
        json.loads(line)["query"]
        for line in (micro_run / "bundle" / "precedents.jsonl").read_text(encoding="utf-8").splitlines()
    }
    assert held and not cases & set(held)
