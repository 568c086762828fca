"""A person's decision settles the same request, for whom it was meant, and moves nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BackendDown
from so8t.core.packaged import policy_text
from so8t.core.types import (
    DECISIONS,
    Attachment,
    Decision,
    Domain,
    Excerpt,
    Opinion,
    PageText,
    Request,
    Turn,
    Verdict,
)
from so8t.decide.calibrate import Calibration
from so8t.decide.combine import combine
from so8t.decide.domain import BUCKETS as DOMAIN_BUCKETS
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.decide.wording import BUCKETS, STEPS_ABOVE, WordingModel, counted
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import Asked, Case, PrecedentStore
from so8t.judge.ruling import ruling
from so8t.judge.triple import TripleJudge

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}{{ m.content }}{% endfor %}")
ANY = DomainModel(np.zeros((8, DOMAIN_BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
TEXT = "新しい取引先に渡す製品の説明資料を、来週の打合せのために用意してください。"
ASKED = Request("r", TEXT, "社内限定", "公開", Domain.BUSINESS, user="佐藤")


def wording(*telling: str) -> WordingModel:
    """Reads every text alike, but for these words, which say DENY."""
    weight = np.zeros((3, BUCKETS + STEPS_ABOVE), np.float32)
    for word in telling:
        weight[2, counted([word])[1]] = 5.0
    return WordingModel(weight, np.zeros(3, np.float32), np.ones(BUCKETS, np.float32))


def case(decision: Decision, text: str = TEXT, user: str = "佐藤", level: str | None = "公開", id: str = "c") -> Case:
    return Case(id, text, decision, "課長", Asked(user, "社内限定", level))


def settles(mode: str) -> Policy:
    return replace(POLICY, review=replace(POLICY.review, settles=mode))


def decided(request: Request, *cases: Case, mode: str = "asker", model: WordingModel | None = None) -> Decision | None:
    found = ruling(request, PrecedentStore(cases), model or wording(), settles(mode))
    return found.decision if found else None


@pytest.mark.parametrize("text", [
    TEXT, f"お疲れさまです。{TEXT}", TEXT.replace("用意してください", "用意してもらえますか"), TEXT.replace("、", ","),
    TEXT.replace("説明資料", "説明\u200b資料"),
])  # fmt: skip
def test_the_same_request_in_other_words_is_settled(text: str) -> None:
    assert decided(replace(ASKED, query=text), case(A)) is A


def test_a_difference_that_means_something_is_not() -> None:
    twin = replace(ASKED, query=TEXT.replace("用意して", "偽造して"))
    assert decided(twin, case(A)) is A  # a model that sees no difference sees none
    assert decided(twin, case(A), model=wording("偽造")) is None
    assert decided(twin, case(D), model=wording("偽造")) is None


def test_another_request_is_not() -> None:
    assert decided(replace(ASKED, query="来客用の駐車場の案内文を書いてください。"), case(A)) is None


def test_allow_is_for_the_asker_deny_for_everyone() -> None:
    other = replace(ASKED, user="鈴木")
    assert [decided(other, case(A), mode=m) for m in ("nobody", "asker", "everyone")] == [None, None, A]
    assert [decided(other, case(D), mode=m) for m in ("nobody", "asker", "everyone")] == [None, D, D]
    assert [decided(ASKED, case(A), mode=m) for m in ("nobody", "asker", "everyone")] == [None, A, A]


def test_allow_is_not_for_lower_clearance_nor_for_higher_material() -> None:
    assert decided(replace(ASKED, clearance="公開"), case(A)) is None
    assert decided(replace(ASKED, clearance="極秘"), case(A)) is A
    assert decided(replace(ASKED, classification="社内限定"), case(A)) is None
    assert decided(replace(ASKED, query=f"【部外秘】{TEXT}", classification=None), case(A)) is None
    assert decided(replace(ASKED, classification="社内限定"), case(A, level="部外秘")) is A


def test_deny_is_not_for_higher_clearance_nor_for_lower_material() -> None:
    assert decided(replace(ASKED, clearance="公開"), case(D)) is D
    assert decided(replace(ASKED, classification="社内限定"), case(D)) is D
    assert decided(replace(ASKED, clearance="極秘"), case(D)) is None
    assert decided(ASKED, case(D, level="部外秘")) is None


def test_people_who_contradict_one_another_settle_nothing() -> None:
    assert decided(ASKED, case(A, id="a"), case(D, id="d")) is None
    assert decided(ASKED, case(A, id="a"), case(A, id="b")) is A


def test_a_conversation_is_not_settled() -> None:
    assert decided(replace(ASKED, history=(Turn("user", "前の話"),)), case(A)) is None


def test_without_a_wording_model_nothing_is() -> None:
    assert ruling(ASKED, PrecedentStore([case(A)]), None, settles("asker")) is None


def test_a_corpus_case_settles_nothing() -> None:
    assert decided(ASKED, Case("c", TEXT, A, "pass")) is None


def judge(cases: Sequence[Case], backend: FakeBackend | None = None) -> TripleJudge:
    unsure = backend or FakeBackend({"": [0.0, 1.5, 0.5]})
    model = ModelJudge(unsure, CHAT, "compact", 1.0, wording())
    return TripleJudge(settles("asker"), model, PrecedentStore(cases), ANY, Calibration())


def verdict(made: TripleJudge, request: Request = ASKED) -> Verdict:
    return asyncio.run(made.judge(request))


def test_the_verdict_follows_the_person() -> None:
    assert verdict(judge([])).decision is E
    for decision in (A, D):
        found = verdict(judge([case(decision)]))
        assert found.decision is decision and found.reason == "人が同じ依頼を決めている"
        opinion = next(o for o in found.opinions if o.judge == "precedent")
        assert opinion.settled and opinion.to_json()["settled"] is True and "課長" not in opinion.reason


def test_other_requests_are_judged_as_if_nobody_had_decided() -> None:
    """Look-alikes too: no vote, so that neither a mistake nor a bribe spreads."""
    others = [replace(ASKED, query=q) for q in (TEXT.replace("説明資料", "原価表の一覧"), "議事録をまとめてください。")]
    for request in others:
        before, after = verdict(judge([])), verdict(judge([case(A, id=f"c{n}") for n in range(50)]))
        assert after.decision is A and before.decision is E  # that request itself
        free, taught = verdict(judge([]), request), verdict(judge([case(A, text="原価表の件 " + "あ" * 40)]), request)
        assert free.decision is taught.decision and free.probabilities == taught.probabilities


def test_a_rule_binds_whatever_a_person_decided() -> None:
    above = replace(ASKED, clearance="公開", classification="極秘")
    store = [Case("c", TEXT, A, "課長", Asked("佐藤", "公開", "極秘"))]
    assert verdict(judge(store), above).decision is D


def test_while_a_judge_is_broken_a_person_looks() -> None:
    assert verdict(judge([case(A)], FakeBackend(error=BackendDown()))).decision is E


simplex = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda v: {d: x / sum(v) for d, x in zip(DECISIONS, v, strict=True)})


@given(simplex, simplex, st.sampled_from([E, D]), st.sampled_from(list(DECISIONS)))
def test_no_precedent_lowers_a_floor(
    rule: dict[Decision, float], model: dict[Decision, float], floor: Decision, said: Decision
) -> None:
    opinions = [
        Opinion("rule", floor, rule, floor=floor),
        Opinion("model", max(model, key=lambda d: model[d]), model),
        Opinion("precedent", said, {d: 0.98 if d is said else 0.01 for d in DECISIONS}, settled=True),
    ]
    found = combine(ASKED, opinions, POLICY)
    assert found.decision.severity >= floor.severity
    assert found.decision is (D if D in (floor, said) else E)


@pytest.mark.parametrize(
    "more",
    [
        {"task": "mail"},
        {"task": "tool"},
        {"documents": (Excerpt("d", "p", "公開", "本文"),)},
        {"attachments": (Attachment("image/png", (PageText(1, "本文", 1.0, "rapidocr"),)),)},
    ],
)
def test_what_is_more_than_its_words_is_settled_by_none(more: dict[str, Any]) -> None:
    assert decided(ASKED, case(A)) is A
    assert decided(replace(ASKED, **more), case(A)) is None
