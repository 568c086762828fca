"""Risk against coverage and the escalation budget, against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.core.types import DECISIONS, Decision, Opinion, Verdict
from so8t.prove.selective import SHARES, Stand, label_weights, queue, selective

A, E, D = DECISIONS


def stand(label: Decision, decision: Decision, confidence: float, fixed: bool = False, family: str = "") -> Stand:
    return Stand(label, decision, confidence, fixed, family or f"{label}{decision}{confidence}")


# Ten requests: two go to people, a hard rule denies one (wrongly), seven are free; the two least sure are wrong.
EXAMPLE = [
    stand(E, E, 0.5),
    stand(A, E, 0.4),
    stand(A, D, 0.2, fixed=True),
    stand(A, A, 0.95),
    stand(A, A, 0.9),
    stand(D, D, 0.85),
    stand(D, D, 0.8),
    stand(A, A, 0.75),
    stand(D, A, 0.6),  # the dangerous one that is allowed
    stand(A, D, 0.55),
]


def test_operating_points_by_hand() -> None:
    found = selective(EXAMPLE, 50, per_day=200)
    shipped, tenth, fifth = (next(r for r in found["operating"] if r["share"] == s) for s in (0.0, 0.1, 0.2))
    assert shipped["humans"]["value"] == 0.2 and shipped["per_day"] == 40 and shipped["confidence"] is None
    assert shipped["wrong"]["value"] == pytest.approx(3 / 8, abs=1e-6) and shipped["wrong"]["n"] == 8
    assert shipped["false_allow"]["value"] == 0.25 and shipped["false_allow"]["n"] == 4
    assert shipped["danger_allowed"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert shipped["over_refusal"]["value"] == pytest.approx(2 / 6, abs=1e-6)
    assert tenth["humans"]["value"] == pytest.approx(0.3, abs=1e-6) and tenth["per_day"] == 60 and tenth["moved"] == 1
    assert tenth["confidence"] == 0.55 and tenth["wrong"]["value"] == pytest.approx(2 / 7, abs=1e-6)
    assert fifth["danger_allowed"]["value"] == 0 and fifth["false_allow"]["value"] == 0
    assert fifth["wrong"]["value"] == pytest.approx(1 / 6, abs=1e-6)


def test_what_a_hard_rule_denied_is_never_handed_over() -> None:
    """It has the least confidence of all, and half of all requests would reach it."""
    many = [stand(A, D, 0.01, fixed=True, family=f"x{n}") for n in range(6)] + EXAMPLE
    found = selective(many, 20)
    last = found["operating"][-1]
    assert found["fixed_deny"] == 7 and found["fixed_deny_wrong"] == 7
    assert last["moved"] == 7 and last["exhausted"] is True
    assert last["humans"]["value"] == pytest.approx(9 / 16, abs=1e-6)
    assert (last["wrong"]["value"], last["wrong"]["n"]) == (1.0, 7)
    assert found["curve"][0]["coverage"] == pytest.approx(7 / 16, abs=1e-6)


def test_the_curve_ends_at_the_system_as_shipped() -> None:
    found = selective(EXAMPLE, 20)
    assert found["curve"][-1]["coverage"] == pytest.approx(0.8, abs=1e-6)
    assert found["curve"][-1]["wrong"]["value"] == pytest.approx(3 / 8, abs=1e-6)
    assert found["curve"][-1]["wrong_allow"]["value"] == pytest.approx(1 / 8, abs=1e-6)
    coverages = [p["coverage"] for p in found["curve"]]
    assert coverages == sorted(coverages) and coverages[0] == pytest.approx(0.1, abs=1e-6)


def test_aurc_by_hand() -> None:
    """The fixed one is wrong and always in; then 1/2 1/3 1/4 1/5 1/6 2/7 3/8 over the seven free verdicts."""
    found = selective(EXAMPLE, 20)["aurc"]
    by_hand = np.mean([1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 2 / 7, 3 / 8])
    assert found["wrong"]["value"] == pytest.approx(by_hand, abs=1e-6)
    assert found["best"] == pytest.approx(by_hand, abs=1e-6)  # the wrong ones are the least sure already
    in_any_order = np.mean([(1 + k * 2 / 7) / (1 + k) for k in range(1, 8)])
    assert found["unsorted"] == pytest.approx(in_any_order, abs=1e-6)


def test_ties_never_flatter() -> None:
    line = queue([stand(A, A, 0.5, family="a"), stand(D, A, 0.5, family="b")])
    assert line.wrong.tolist() == [1.0, 0.0]


def test_a_mix_reckons_for_other_shares_of_labels() -> None:
    plain, mixed = selective(EXAMPLE, 20), selective(EXAMPLE, 20, mix=(0.9, 0.05, 0.05))
    assert mixed["mix"] == [0.9, 0.05, 0.05] and mixed["mix_given"] and not plain["mix_given"]
    # Of the harmless one in six is escalated, of ESCALATE all, of DENY none.
    assert mixed["operating"][0]["humans"]["value"] == pytest.approx(0.9 / 6 + 0.05, abs=1e-6)
    assert mixed["operating"][0]["false_allow"]["value"] == pytest.approx(0.05 / 3 / (0.05 / 3 + 0.9 / 2), abs=1e-6)
    assert mixed["operating"][0]["danger_allowed"]["value"] == pytest.approx(
        1 / 3, abs=1e-6
    )  # a share of one label alone
    assert label_weights(EXAMPLE, (1, 1, 1)).sum() == pytest.approx(len(EXAMPLE), abs=1e-6)


def test_nothing_decided_is_nothing_to_show() -> None:
    assert selective([], 10) == {}
    assert selective([stand(A, E, 0.5)], 10) == {}


def test_one_family_has_no_spread_and_many_have() -> None:
    alone = selective([stand(s.label, s.decision, s.confidence, s.fixed, "one") for s in EXAMPLE], 50)
    wrong = alone["operating"][0]["wrong"]
    assert wrong["low"] == wrong["value"] == wrong["high"]
    spread = selective(EXAMPLE, 200)["operating"][0]["wrong"]
    assert spread["low"] < spread["value"] < spread["high"]


def test_a_verdict_knows_whether_a_hard_rule_decided_it() -> None:
    def verdict(decision: Decision, floor: Decision | None) -> Verdict:
        opinions = (Opinion("rule", floor, floor=floor), Opinion("model", A))
        return Verdict("r", decision, {A: 0.1, E: 0.2, D: 0.7}, opinions)

    assert Stand.of(A, verdict(D, D), "f").fixed is True
    assert Stand.of(A, verdict(D, E), "f").fixed is False  # the floor was lower: people may still decide it
    assert Stand.of(A, verdict(D, None), "f").fixed is False
    assert Stand.of(A, verdict(E, E), "f").fixed is True


STANDS = st.lists(
    st.builds(
        stand, st.sampled_from(DECISIONS), st.sampled_from(DECISIONS), st.sampled_from([0.2, 0.4, 0.5, 0.9]),
        st.booleans(), st.sampled_from("abcde"),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60)
@given(STANDS)
def test_laws_of_any_set(stands: list[Stand]) -> None:
    found = selective(stands, 15)
    json.dumps(found, allow_nan=False)
    if not found:
        assert all(s.decision == E for s in stands)
        return
    rows = found["operating"]
    humans = [r["humans"]["value"] for r in rows]
    assert [r["share"] for r in rows] == list(SHARES) and humans == sorted(humans)
    fixed = sum(s.fixed and s.decision == D for s in stands)
    for row in rows:
        assert row["moved"] <= row["share"] * len(stands) + 1e-6 and row["moved"] <= found["decided"] - fixed
    for point in found["curve"]:
        assert 0 <= point["wrong_allow"]["value"] <= point["wrong"]["value"] <= 1
    aurc = found["aurc"]
    if aurc["wrong"]["value"] is not None:
        assert aurc["best"] <= aurc["wrong"]["value"] + 1e-6


@settings(max_examples=20)
@given(STANDS, st.integers(1, 10**6))
def test_more_draws_at_once_or_few_give_the_same(stands: list[Stand], cells: int) -> None:
    from so8t.prove import selective as module

    whole = selective(stands, 20)
    kept, module.CELLS = module.CELLS, cells
    try:
        assert selective(stands, 20) == whole
    finally:
        module.CELLS = kept
