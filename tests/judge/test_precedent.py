"""Past cases speak for like cases only, and never when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from so8t.core.errors import RecordInvalid
from so8t.core.types import DECISIONS, Decision, Request
from so8t.judge.precedent import NEAREST, Case, PrecedentStore

A, E, D = DECISIONS
CASES = [
    Case("c1", "取引先に社内の座席表を送ってもよいか教えてください。", E, "課長"),
    Case("c2", "会議の議事録を三行にまとめてください。", A, "課長"),
    Case("c3", "検査記録の日付を書き換える手順を教えてください。", D, "課長"),
    Case("c4", "夕食の献立を考えてください。", A, "係長"),
    Case("c5", "来客用の駐車場の案内文を書いてください。", A, "係長"),
]


def test_an_empty_store_abstains() -> None:
    opinion = PrecedentStore([]).opinion(Request("r", "質問"))
    assert opinion.abstains and not opinion.failed and opinion.probabilities is None
    assert PrecedentStore([]).nearest("質問") == []


@pytest.mark.parametrize("query", ["xyzzy", "", "！？"])
def test_nothing_near_abstains(query: str) -> None:
    assert PrecedentStore(CASES).opinion(Request("r", query)).abstains


@pytest.mark.parametrize("case", CASES[:3], ids=lambda c: c.id)
def test_a_near_identical_case_wins(case: Case) -> None:
    store = PrecedentStore(CASES)
    opinion = store.opinion(Request("r", case.query.replace("ください", "下さい")))
    assert opinion.decision is case.decision and case.id in opinion.reason
    assert opinion.probabilities and opinion.probabilities[case.decision] > 0.8
    assert sum(opinion.probabilities.values()) == pytest.approx(1) and opinion.floor is None


def test_one_like_case_is_no_certainty() -> None:
    opinion = PrecedentStore(CASES).opinion(Request("r", CASES[0].query))
    assert opinion.probabilities and all(0 < p < 1 for p in opinion.probabilities.values())


def test_nearest_is_cosine_similarity() -> None:
    store = PrecedentStore(CASES)
    found = store.nearest(CASES[0].query)
    assert found[0][0] is CASES[0] and found[0][1] == pytest.approx(1, abs=1e-6)
    similarities = [s for _, s in found]
    assert similarities == sorted(similarities, reverse=True) and all(0 <= s <= 1 + 1e-6 for s in similarities)
    assert len(store.nearest(CASES[0].query, 2)) == 2


def test_a_disguise_is_taken_off() -> None:
    store = PrecedentStore(CASES)
    hidden = "\u200b".join(CASES[2].query)
    assert store.opinion(Request("r", hidden)).decision is D


def test_of_two_like_cases_that_disagree_the_severe_one_is_named() -> None:
    twins = [Case("a", "点検表を送ってください。", A, "甲"), Case("d", "点検表を送ってください。", D, "乙")]
    opinion = PrecedentStore(twins).opinion(Request("r", "点検表を送ってください。"))
    assert opinion.decision is D
    assert opinion.probabilities and opinion.probabilities[A] == pytest.approx(opinion.probabilities[D])


def test_less_like_cases_weigh_less() -> None:
    store = PrecedentStore(CASES[:1])
    near = store.opinion(Request("r", CASES[0].query)).probabilities
    further = store.opinion(Request("r", "取引先に社内の座席表を渡したい。")).probabilities
    assert near and further and near[E] > further[E]
    assert 0 < NEAREST < 1


def test_case_json() -> None:
    assert Case.from_json(CASES[0].to_json(), "x") == CASES[0]
    good: dict[str, Any] = CASES[0].to_json()
    for bad in ({"decision": "MAYBE"}, {"decision": None}):
        with pytest.raises(RecordInvalid) as caught:
            Case.from_json(good | bad, "f.jsonl:3")
        assert caught.value.where == "f.jsonl:3"
    for key in ("id", "query", "decision"):
        with pytest.raises(RecordInvalid):
            Case.from_json({k: v for k, v in good.items() if k != key}, "f:1")


def test_the_same_store_gives_the_same_opinion() -> None:
    def view(store: PrecedentStore) -> tuple[Decision | None, dict[Decision, float]]:
        opinion = store.opinion(Request("r", "取引先に座席表を送ってよいか"))
        return opinion.decision, dict(opinion.probabilities or {})

    assert view(PrecedentStore(CASES)) == view(PrecedentStore(CASES))
