"""The evaluation goes through the judges that serve, sees no answer, and reports what they said."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BackendDown, BackendProtocol, BundleBroken
from so8t.core.packaged import policy_text
from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request, Sample, Split, Verdict
from so8t.decide.calibrate import Calibration, as_probabilities, calibration_error, fit_temperature, softmax
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.prove.suite import Outcome, calibrate, evaluate, per_judge, request_of, result

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}{{ m.content }}{% endfor %}")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)


def sample(n: int, decision: Decision = A, **changes: Any) -> Sample:
    made = Sample(
        id=f"s{n}",
        kind="request",
        text=f"{n}月の会議の案内文を書いてください。",
        source="t",
        license="t",
        domain=Domain.FINANCE,
        split=Split.TEST,
        family="FAMILY",
        pair="PAIR",
        decision=decision,
        response="RESPONSE",
        clearance="社内限定",
        classification="公開",
        register="REGISTER",
        attack="ATTACK",
        policy_ref="REF",
        escalation_target="TARGET",
        identity_contract={"role": "CONTRACT"},
    )
    return dataclasses.replace(made, **changes)


class SpyJudge(TripleJudge):
    """Keeps every request it is given."""

    seen: ClassVar[list[Request]] = []

    async def judge(self, request: Request) -> Verdict:
        SpyJudge.seen.append(request)
        return await super().judge(request)


def judge(backend: FakeBackend, kind: type[TripleJudge] = TripleJudge) -> TripleJudge:
    return kind(POLICY, ModelJudge(backend, CHAT, "compact", 1.0), PrecedentStore([]), ANY, Calibration())


def nothing() -> None:
    return None


def test_the_request_holds_query_and_levels_only() -> None:
    request = request_of(sample(1))
    assert request == Request("s1", "1月の会議の案内文を書いてください。", "社内限定", "公開")
    assert request.domain is None and request.user == "anonymous"


def test_the_evaluation_never_sees_the_answer() -> None:
    SpyJudge.seen = []
    backend = FakeBackend({"": [1.0, 0.0, -1.0]})
    asyncio.run(evaluate(judge(backend, SpyJudge), [sample(n, D) for n in range(3)], nothing))
    asyncio.run(calibrate(judge(backend), [sample(n, D) for n in range(3)], nothing))
    assert len(SpyJudge.seen) == 3
    words = json.dumps([dataclasses.asdict(r) for r in SpyJudge.seen], default=str, ensure_ascii=False) + " ".join(
        backend.prompts
    )
    for hidden in ("finance", "FAMILY", "PAIR", "RESPONSE", "REGISTER", "ATTACK", "REF", "TARGET", "CONTRACT", "DENY"):
        assert hidden not in words, hidden


def test_the_label_changes_nothing_that_is_judged() -> None:
    made = judge(FakeBackend({"": [1.0, 0.0, -1.0]}))
    first, second = (asyncio.run(evaluate(made, [sample(1, d)], nothing))[0] for d in (A, D))
    assert first.verdict.decision is second.verdict.decision
    assert first.verdict.probabilities == second.verdict.probabilities and first.parts == second.parts


def test_outcomes_keep_the_order_and_tell_progress() -> None:
    count = []
    samples = [sample(n) for n in range(9)]
    outcomes = asyncio.run(evaluate(judge(FakeBackend()), samples, lambda: count.append(1)))
    assert [o.sample.id for o in outcomes] == [s.id for s in samples] and len(count) == 9
    assert all(o.verdict.request_id == o.sample.id for o in outcomes)


def test_a_sample_without_a_label_is_refused() -> None:
    with pytest.raises(ValueError, match="s1"):
        Outcome(dataclasses.replace(sample(1), decision=None), verdict_of(A), ((0, 0, 0),)).judged  # noqa: B018


class Drawn(FakeBackend):
    """Scores by the month in the prompt."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows = rows

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        return [float(x) for x in self.rows[int(prompt.split("月")[0].split("\n")[-1])]]


def test_calibration_recovers_the_temperature_of_the_model() -> None:
    generator = np.random.default_rng(2)
    rows = generator.normal(0, 3, (600, 3))
    labels = [generator.choice(3, p=p) for p in softmax(rows, 2.0)]
    samples = [sample(n, DECISIONS[k]) for n, k in enumerate(labels)]
    found = asyncio.run(calibrate(judge(Drawn(rows)), samples, nothing))
    assert found.temperature == pytest.approx(fit_temperature(rows, np.array(labels)))
    assert found.temperature == pytest.approx(2.0, rel=0.25)
    # No rule and no precedent speaks here: what is fused is the calibrated model alone, which needs no more.
    assert found.fusion_temperature == pytest.approx(1.0, rel=0.05)
    assert 0.5 <= found.temperature_plan_grid <= 3.0


def test_the_limit_of_allow_comes_from_the_dangerous_requests_of_calibration() -> None:
    """30 dangerous families, of which one looks harmless: the loosest limit that keeps the policy's bound."""
    rows = np.array([[4.0, 0.0, -4.0]] * 30 + [[0.0, 0.0, 6.0]] * 29 + [[2.0, 0.0, 0.0]])
    samples = [sample(n, A, family=f"f{n}") for n in range(30)] + [sample(n, D, family=f"f{n}") for n in range(30, 60)]
    fusion = dataclasses.replace(POLICY.fusion, danger_allowed=0.1)
    made = dataclasses.replace(judge(Drawn(rows)), policy=dataclasses.replace(POLICY, fusion=fusion))
    found = asyncio.run(calibrate(made, samples, nothing)).allow
    assert (found.dangerous, found.allowed, found.bound) == (30, 0, 0.1) and found.certified
    assert found.below < 0.5 and found.at_most == pytest.approx(1 - 0.05 ** (1 / 30))
    fusion = dataclasses.replace(fusion, danger_allowed=None)
    free = dataclasses.replace(made, policy=dataclasses.replace(POLICY, fusion=fusion))
    assert asyncio.run(calibrate(free, samples, nothing)).allow.allowed == 1  # no bound, no limit


def test_nothing_is_calibrated_without_a_judge_that_breaks() -> None:
    class Broken(PrecedentStore):
        def opinion(self, request: Request) -> Opinion:
            raise AttributeError("no such method")

    broken = dataclasses.replace(judge(FakeBackend()), precedents=Broken([]))
    with pytest.raises(BundleBroken, match="precedent"):
        asyncio.run(calibrate(broken, [sample(1)], nothing))


def test_calibration_without_samples_is_neutral() -> None:
    assert asyncio.run(calibrate(judge(FakeBackend()), [], nothing)) == Calibration()


def verdict_of(decision: Decision, *opinions: Opinion, p: float = 0.8) -> Verdict:
    rest = (1 - p) / 2
    return Verdict("r", decision, {d: p if d is decision else rest for d in DECISIONS}, opinions)


def outcome(label: Decision, decision: Decision, scores: Sequence[float] = (0, 0, 0), **changes: Any) -> Outcome:
    return Outcome(sample(1, label, **changes), verdict_of(decision), (tuple(scores),))


def test_result_by_hand() -> None:
    found = result(
        [
            outcome(A, A, (5, 0, 0)),
            outcome(A, D, (5, 0, 0), domain=Domain.MEDICAL),
            outcome(D, D, (0, 0, 5), attack=None),
            outcome(D, A, (0, 0, 5), register="常体"),
        ],
        Calibration(2.0),
        20,
    )
    assert found["n"] == 4 and found["confusion"] == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert found["accuracy"]["value"] == 0.5 and found["false_allow"]["value"] == 0.5
    assert found["f1"]["ALLOW"]["value"] == 0.5 and found["f1"]["macro"]["value"] is None
    assert {k: v["n"] for k, v in found["per_domain"].items()} == {"finance": 3, "medical": 1}
    assert found["per_domain"]["medical"]["accuracy"]["value"] == 0.0
    assert found["per_attack"]["ATTACK"]["n"] == 3 and found["per_register"]["常体"]["n"] == 1
    assert found["verdict_ece"] == pytest.approx(abs(0.5 - 0.8))
    assert found["brier"] == pytest.approx((2 * (0.04 + 0.02) + 2 * (0.64 + 0.81 + 0.01)) / 4)
    scores, labels = np.array([[5, 0, 0], [5, 0, 0], [0, 0, 5], [0, 0, 5]]), np.array([0, 0, 2, 2])
    assert found["ece"]["before"] == pytest.approx(calibration_error(softmax(scores), labels))
    assert found["ece"]["after"] == pytest.approx(calibration_error(softmax(scores, 2.0), labels))
    assert found["ece"]["before"] < found["ece"]["after"]
    assert sum(b["n"] for b in found["ece"]["bins_after"]) == 4
    json.dumps(found, allow_nan=False)


def test_per_judge_counts_who_spoke() -> None:
    def told(name: str, decision: Decision | None) -> Opinion:
        return Opinion(name, decision, as_probabilities([1, 0, 0]) if decision else None)

    rows = [
        Outcome(sample(1, D), verdict_of(D, told("rule", D), told("model", A)), ((0, 0, 0),)),
        Outcome(sample(2, A), verdict_of(A, told("rule", None), told("model", A)), ((0, 0, 0),)),
        Outcome(sample(3, E), verdict_of(E, told("rule", None), Opinion("model", failed=True)), ((0, 0, 0),)),
    ]
    assert per_judge(rows) == {
        "rule": {"n": 1, "accuracy": 1.0, "abstained": 2},
        "model": {"n": 2, "accuracy": 0.5, "abstained": 1},
    }


class Refusing(FakeBackend):
    """As llama.cpp answers a prompt that is longer than its context."""

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        if "0月" in prompt:
            raise BackendProtocol(detail="HTTP 400")
        return await super().label_scores(prompt, labels)


def test_a_request_that_the_model_cannot_read_is_judged_without_it() -> None:
    outcomes = asyncio.run(evaluate(judge(Refusing()), [sample(n) for n in (0, 1)], nothing))
    assert [bool(o.parts) for o in outcomes] == [False, True]
    assert outcomes[0].verdict.decision is E and outcomes[0].seconds >= 0
    found = result(outcomes, Calibration(), 10)
    assert found["model_failed"] == 1 and found["n"] == 2
    json.dumps(result(outcomes[:1], Calibration(), 10), allow_nan=False)


def test_a_server_that_has_gone_proves_nothing() -> None:
    with pytest.raises(BackendDown):
        asyncio.run(evaluate(judge(FakeBackend(error=BackendDown())), [sample(1)], nothing))


def test_the_result_holds_the_budget_and_the_look_alikes() -> None:
    found = result([outcome(A, A), outcome(D, A, pair=None), outcome(E, E)], Calibration(), 10, per_day=50)
    assert found["selective"]["requests_per_day"] == 50 and found["selective"]["operating"][0]["per_day"] == 17
    assert found["look_alikes"]["disguised"]["n"] == 1 and found["per_domain"]["finance"]["danger_allowed"]["n"] == 1
