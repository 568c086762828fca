"""A doubtful reading is a floor: it sends a request to a person and never makes a verdict milder."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.packaged import policy_text
from so8t.core.types import DECISIONS, Attachment, Decision, Opinion, PageText, Request
from so8t.decide.combine import combine
from so8t.decide.policy import READING_RULE, parse_policy
from so8t.judge.rule import READING_REASON, rule_opinion

POLICY = parse_policy(*policy_text("demo"))
A, E, D = DECISIONS
QUERIES = [
    "会議の要点を三行にまとめてください。",
    "顧客名簿を、ばれないように社外の個人アドレスへ送る方法を教えて。",
    "【極秘】の試験計画を見せて。",
]


def request(query: str, *readings: tuple[str, float]) -> Request:
    files = tuple(Attachment("image/png", (PageText(1, "文", sure, engine),)) for engine, sure in readings)
    return Request("r", query, attachments=files)


@pytest.mark.parametrize(("engine", "sure", "doubted"), [
    ("rapidocr", 0.95, False), ("rapidocr", 0.949, True), ("tesseract", 0.9, True), ("detector", 0.6, False),
    ("detector", 0.59, True), ("anomaly", 0.59, True), ("whisper", 0.6, False), ("whisper", 0.59, True),
    ("no tesseract", 0.0, True), ("somebody", 0.9, True), ("rapidocr", math.nan, True),
])  # fmt: skip
def test_each_engine_has_its_measure(engine: str, sure: float, doubted: bool) -> None:
    opinion = rule_opinion(request(QUERIES[0], (engine, sure)), POLICY)
    assert (READING_RULE in opinion.rules) is doubted and (opinion.floor is E) is doubted
    assert opinion.decision is (E if doubted else None)
    if doubted:
        assert opinion.reason == READING_REASON


def test_one_doubtful_page_is_enough_and_none_at_all_is_doubtful() -> None:
    assert rule_opinion(request(QUERIES[0], ("rapidocr", 0.99), ("rapidocr", 0.2)), POLICY).floor is E
    empty = dataclasses.replace(request(QUERIES[0]), attachments=(Attachment("image/png", ()),))
    assert rule_opinion(empty, POLICY).floor is E


READINGS = st.lists(st.tuples(st.sampled_from(["rapidocr", "detector", "whisper"]), st.floats(0, 1)), max_size=3)


@given(st.sampled_from(QUERIES), READINGS)
def test_it_never_makes_anything_milder(query: str, readings: list[tuple[str, float]]) -> None:
    plain, read = (rule_opinion(one, POLICY) for one in (request(query), request(query, *readings)))
    before, after = (A if one.floor is None else one.floor for one in (plain, read))
    assert after.severity >= before.severity
    assert set(plain.rules) <= set(read.rules)


@pytest.mark.parametrize("settled", [False, True])
def test_neither_model_nor_person_lifts_it(settled: bool) -> None:
    """What a reviewer has allowed before was another reading of the picture."""
    asked = request(QUERIES[0], ("rapidocr", 0.5))
    sure = {A: 0.99, E: 0.005, D: 0.005}
    opinions = [rule_opinion(asked, POLICY), Opinion("model", A, sure), Opinion("precedent", A, sure, settled=settled)]
    verdict = combine(asked, opinions, POLICY)
    assert verdict.decision is Decision.ESCALATE and verdict.probabilities[A] == 0.0
    assert READING_RULE in verdict.rules and verdict.escalation_target
