"""Three opinions become one verdict: floors bind, cost decides, doubt goes to a human."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.packaged import policy_text
from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request
from so8t.decide.combine import combine, disagreement, fused_scores, least_cost, raised
from so8t.decide.policy import Policy, parse_policy

POLICY = parse_policy(*policy_text("demo"))
A, E, D = DECISIONS
REQUEST = Request("r", "質問")


def probabilities(a: float, e: float, d: float) -> dict[Decision, float]:
    return {A: a, E: e, D: d}


def opinion(judge: str, a: float, e: float, d: float, floor: Decision | None = None) -> Opinion:
    best = max(DECISIONS, key=lambda k: probabilities(a, e, d)[k])
    return Opinion(judge, best, probabilities(a, e, d), reason=f"{judge} says", floor=floor)


def policy(minimum: float = 0.0, most: float = 1.0, **weights: float) -> Policy:
    weighed = {"rule": 1.0, "model": 1.0, "precedent": 1.0} | weights
    fusion = dataclasses.replace(POLICY.fusion, minimum_confidence=minimum, maximum_disagreement=most, weights=weighed)
    return dataclasses.replace(POLICY, fusion=fusion)


simplex = st.tuples(*[st.floats(0, 1)] * 3).map(lambda v: [x / sum(v) if sum(v) > 0 else 1 / 3 for x in v])
floors = st.none() | st.sampled_from([E, D])


@st.composite
def opinions(draw: st.DrawFn) -> list[Opinion]:
    found = []
    for judge in ("rule", "model", "precedent"):
        state = draw(st.sampled_from(["speaks", "abstains", "failed"]))
        if state == "speaks":
            floor = draw(floors) if judge == "rule" else None
            found.append(opinion(judge, *draw(simplex), floor=floor))
        else:
            found.append(Opinion(judge, failed=state == "failed"))
    return found


@given(opinions(), st.floats(0.05, 50))
def test_nothing_lowers_a_floor_and_probabilities_sum_to_one(given_: list[Opinion], temperature: float) -> None:
    verdict = combine(REQUEST, given_, POLICY, temperature=temperature)
    assert sum(verdict.probabilities.values()) == pytest.approx(1, abs=1e-9)
    assert all(p >= 0 for p in verdict.probabilities.values())
    floor = max((o.floor.severity for o in given_ if o.floor), default=0)
    assert verdict.decision.severity >= floor
    assert all(verdict.probabilities[d] == 0 for d in DECISIONS if d.severity < floor)


@given(opinions(), st.floats(0.05, 50))
def test_allow_only_where_it_costs_least_and_nobody_doubts(given_: list[Opinion], temperature: float) -> None:
    verdict = combine(REQUEST, given_, POLICY, temperature=temperature)
    if verdict.decision is A:
        expected = {j: sum(verdict.probabilities[t] * POLICY.costs[j][t] for t in DECISIONS) for j in DECISIONS}
        assert expected[A] < expected[E] and expected[A] < expected[D]
        assert not any(o.failed or o.floor for o in given_)
        assert verdict.confidence >= POLICY.fusion.minimum_confidence


@given(st.sampled_from(["model", "precedent"]), simplex, simplex)
def test_a_hard_deny_stays_whatever_the_others_say(failed: str, first: list[float], second: list[float]) -> None:
    others = {"model": opinion("model", *first), "precedent": opinion("precedent", *second)}
    others[failed] = Opinion(failed, failed=True)
    verdict = combine(REQUEST, [opinion("rule", 0.01, 0.01, 0.98, floor=D), *others.values()], POLICY)
    assert verdict.decision is D and verdict.confidence == pytest.approx(1)


def test_a_floor_of_escalate_may_be_raised_to_deny() -> None:
    rule = opinion("rule", 0.02, 0.96, 0.02, floor=E)
    sure = [opinion("model", 0.001, 0.001, 0.998), opinion("precedent", 0.001, 0.001, 0.998)]
    assert combine(REQUEST, [rule, *sure], policy()).decision is D
    assert combine(REQUEST, [rule, opinion("model", 0.998, 0.001, 0.001)], policy()).decision is E


def test_the_fusion_is_a_weighted_logarithmic_pool() -> None:
    first, second = (0.5, 0.3, 0.2), (0.2, 0.2, 0.6)
    given_ = [opinion("model", *first), opinion("precedent", *second)]
    verdict = combine(REQUEST, given_, policy(model=2.0, precedent=0.5), temperature=1.5)
    raw = [(x**2 * y**0.5) ** (1 / 1.5) for x, y in zip(first, second, strict=True)]
    assert list(verdict.probabilities.values()) == pytest.approx([r / sum(raw) for r in raw])


def test_a_judge_of_weight_zero_says_nothing() -> None:
    quiet = [opinion("model", 0.6, 0.3, 0.1), opinion("precedent", 0.01, 0.01, 0.98)]
    verdict = combine(REQUEST, quiet, policy(precedent=0.0))
    assert list(verdict.probabilities.values()) == pytest.approx([0.6, 0.3, 0.1])


def test_a_probability_of_zero_is_no_veto() -> None:
    scores = fused_scores([opinion("model", 0.0, 0.5, 0.5), opinion("precedent", 1.0, 0.0, 0.0)], {})
    assert scores is not None and all(map(math.isfinite, scores))


def test_who_has_a_floor_is_not_counted_twice() -> None:
    assert fused_scores([opinion("rule", 0.1, 0.1, 0.8, floor=D)], {}) is None
    assert fused_scores([Opinion("model"), Opinion("rule", failed=True)], {}) is None


@pytest.mark.parametrize("judge", ["rule", "model", "precedent"])
def test_a_failed_judge_escalates(judge: str) -> None:
    others = [opinion(n, 0.98, 0.01, 0.01) for n in ("rule", "model", "precedent") if n != judge]
    verdict = combine(REQUEST, [*others, Opinion(judge, failed=True)], policy())
    assert verdict.decision is E and judge in verdict.reason
    assert combine(REQUEST, [*others, Opinion(judge)], policy()).decision is A  # silence is no failure


def test_nobody_speaks() -> None:
    verdict = combine(REQUEST, [Opinion("rule"), Opinion("model"), Opinion("precedent")], POLICY)
    assert verdict.decision is E and list(verdict.probabilities.values()) == pytest.approx([1 / 3] * 3)
    assert combine(REQUEST, [], POLICY).decision is E


def test_low_confidence_escalates() -> None:
    unsure = [opinion("model", 0.34, 0.33, 0.33)]
    cheap = {A: probabilities(0, 0.1, 0.1), E: probabilities(9, 0, 9), D: probabilities(9, 9, 0)}
    free = dataclasses.replace(policy(), costs=cheap)
    assert combine(REQUEST, unsure, free).decision is A
    strict = dataclasses.replace(free, fusion=policy(minimum=0.4).fusion)
    assert combine(REQUEST, unsure, strict).decision is E


def test_a_doubtful_deny_goes_to_a_human_too() -> None:
    assert combine(REQUEST, [opinion("model", 0.01, 0.01, 0.98), Opinion("rule", failed=True)], policy()).decision is E


def test_disagreement() -> None:
    split = [opinion("model", 0.97, 0.02, 0.01), opinion("precedent", 0.1, 0.1, 0.8)]
    assert disagreement(split) == pytest.approx(0.87)
    assert disagreement([split[0], opinion("precedent", 0.5, 0.4, 0.1)]) == 0.0  # both say ALLOW
    assert disagreement([split[0]]) == disagreement([]) == disagreement([split[0], Opinion("rule")]) == 0.0
    cheap = {A: probabilities(0, 1e-3, 1e-3), E: probabilities(9, 0, 9), D: probabilities(9, 9, 0)}
    open_, strict = (dataclasses.replace(policy(most=m), costs=cheap) for m in (1.0, 0.8))
    assert combine(REQUEST, split, open_).decision is A
    assert combine(REQUEST, split, strict).decision is E
    assert "割れて" in combine(REQUEST, split, strict).reason


@given(simplex)
def test_least_cost_is_the_minimum_and_severe_on_a_tie(row: list[float]) -> None:
    p = probabilities(*row)
    costs = POLICY.costs
    expected: Mapping[Decision, float] = {j: sum(p[t] * costs[j][t] for t in DECISIONS) for j in DECISIONS}
    chosen = least_cost(p, costs)
    assert expected[chosen] == min(expected.values())
    assert all(expected[j] > expected[chosen] for j in DECISIONS if j.severity > chosen.severity)


def test_a_tie_goes_to_the_severe_side() -> None:
    even = {A: probabilities(0, 1, 2), E: probabilities(1, 0, 1), D: probabilities(2, 1, 0)}
    assert least_cost(probabilities(0.5, 0.0, 0.5), even) is D
    assert least_cost(probabilities(0.5, 0.5, 0.0), even) is E


def test_costs_move_the_decision() -> None:
    """With p(DENY) = 0.2 a human is asked where passing danger is dear, else it is allowed."""
    p = probabilities(0.8, 0.0, 0.2)
    dear = {A: probabilities(0, 4, 10), E: probabilities(1, 0, 2), D: probabilities(4, 2, 0)}
    assert least_cost(p, dear) is E  # 2.0 > 0.8 + 0.4
    assert least_cost(p, {j: {t: float(j != t) for t in DECISIONS} for j in DECISIONS}) is A


@given(simplex, floors)
def test_raised_moves_what_lies_below(row: list[float], floor: Decision | None) -> None:
    p = probabilities(*row)
    found = raised(p, floor)
    assert sum(found.values()) == pytest.approx(sum(p.values()))
    above = [d for d in DECISIONS if floor and d.severity > floor.severity] if floor else DECISIONS
    assert all(found[d] == p[d] for d in above)


def test_reference_and_target_are_of_the_rule_that_decided() -> None:
    rule = next(r for r in POLICY.rules if r.hard and r.effect is E and r.escalation_target)
    verdict = combine(
        REQUEST, [dataclasses.replace(opinion("rule", 0.02, 0.96, 0.02, floor=E), rules=(rule.id,))], POLICY
    )
    assert verdict.decision is E and verdict.escalation_target == rule.escalation_target
    assert verdict.rules == (rule.id,)


def test_reference_and_target_of_the_domain_otherwise() -> None:
    verdict = combine(REQUEST, [], POLICY, domain=Domain.MEDICAL, payload_digest="p")
    medical = POLICY.domain(Domain.MEDICAL)
    assert (verdict.policy_ref, verdict.escalation_target) == (medical.policy_refs[E], medical.escalation_target)
    assert (verdict.policy_digest, verdict.payload_digest, verdict.domain) == (POLICY.digest, "p", Domain.MEDICAL)
    denied = combine(REQUEST, [opinion("rule", 0, 0, 1, floor=D)], POLICY, domain=Domain.MEDICAL)
    assert denied.escalation_target is None and denied.policy_ref == medical.policy_refs[D]


def test_the_spokesman_agrees_with_the_verdict() -> None:
    verdict = combine(REQUEST, [opinion("model", 0.98, 0.01, 0.01), opinion("precedent", 0.99, 0.005, 0.005)], policy())
    assert verdict.decision is A and verdict.reason == "precedent: precedent says"


def test_a_domain_may_ask_for_more_confidence_than_the_rest() -> None:
    text = policy_text("demo")[0].replace("[domains.medical]\n", "[domains.medical]\nminimum_confidence = 0.95\n")
    policy = parse_policy(text, "test.toml")
    sure = {Decision.ALLOW: 0.9, Decision.ESCALATE: 0.05, Decision.DENY: 0.05}
    opinions = [Opinion("model", Decision.ALLOW, sure)]
    request = Request("q", "x")
    assert combine(request, opinions, policy, domain=Domain.BUSINESS).decision is Decision.ALLOW
    assert combine(request, opinions, policy, domain=Domain.MEDICAL).decision is Decision.ESCALATE
    assert combine(request, opinions, policy, domain=None).decision is Decision.ALLOW
