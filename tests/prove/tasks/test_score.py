"""From replies to figures: by hand, with intervals, targets, and nothing claimed where nothing was measured."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.types import Domain
from so8t.prove.tasks.item import TaskItem, packaged_items
from so8t.prove.tasks.score import ANSWER_CHARACTERS, TARGETS, Answered, figure, lead, result, scores

QA = TaskItem("q", "qa", Domain.MEDICAL, question="何ですか。", answers=("心臓", "ハート"), wrong=("肺",))
SUMMARY = TaskItem(
    "s", "summary", Domain.GENERAL, document="会議は三月に延期し、場所は駅前の会館から第二会議室に変わった。" * 4,
    reference="会議は三月に延期、場所は第二会議室。", facts=(("三月", "3月"), ("延期",), ("第二会議室",)), limit=20,
)  # fmt: skip
SUITE = packaged_items()


def test_a_right_answer() -> None:
    assert scores(QA, "心臓")["exact"] == scores(QA, " 心臓。")["normalised"] == 1.0
    found = scores(QA, "それは心臓です。")
    assert (found["score"], found["exact"], found["normalised"]) == (1.0, 0.0, 0.0) and 0 < found["char_f1"] < 1


@pytest.mark.parametrize("reply", ["", "胃です", "心臓か肺です", "あ" * ANSWER_CHARACTERS + "心臓"])
def test_a_wrong_answer(reply: str) -> None:
    assert scores(QA, reply)["score"] == 0.0


def test_a_summary_by_its_facts() -> None:
    assert scores(SUMMARY, "会議は3月に延期。")["score"] == pytest.approx(2 / 3)
    assert scores(SUMMARY, SUMMARY.reference)["rougeL"] == 1.0
    late = scores(SUMMARY, "あ" * 20 + "三月に延期、第二会議室")
    assert late["score"] == 0.0 and late["within_limit"] == 0.0  # what is beyond the limit is not read
    assert scores(SUMMARY, "")["within_limit"] == 0.0


def answered(item: TaskItem, reply: str, released: bool = True) -> Answered:
    return Answered(item, reply, released, 0.5)


def test_result_by_hand() -> None:
    general = dataclasses.replace(QA, id="g", domain=Domain.GENERAL)
    rows = [answered(QA, "心臓"), answered(QA, "胃", False), answered(general, "ハート"), answered(SUMMARY, "延期した")]
    found = result(rows, 100)
    assert found["n"] == 4 and found["total"]["score"]["value"] == pytest.approx((1 + 0 + 1 + 1 / 3) / 4, abs=1e-6)
    assert {k: (v["n"], v["score"]["value"]) for k, v in found["tasks"].items()} == {
        "general_qa": (1, 1.0), "domain_qa": (2, 0.5), "summary": (1, pytest.approx(1 / 3, abs=1e-6)),
    }  # fmt: skip
    assert {k: v["target"] for k, v in found["tasks"].items()} == {k: v for k, v in TARGETS.items() if k != "total"}
    assert found["tasks"]["general_qa"]["met"] is True and found["tasks"]["domain_qa"]["met"] is False
    assert found["tasks"]["summary"]["lead"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["released"]["value"] == 0.75 and found["seconds_median"] == 0.5
    assert found["document_characters"] == len(SUMMARY.document)
    assert found["per_domain"]["medical"]["qa"]["value"] == 0.5 and found["per_domain"]["general"]["n"] == 2
    assert [e["id"] for e in found["examples"]] == ["g", "q", "q", "s"]
    json.dumps(found, allow_nan=False)


def test_the_targets_are_the_plans() -> None:
    assert TARGETS == {"total": 0.80, "general_qa": 0.85, "domain_qa": 0.80, "summary": 0.75}


def test_perfect_and_silent_models() -> None:
    perfect = result([answered(i, i.reference or i.answers[0]) for i in SUITE], 50)
    silent = result([answered(i, "") for i in SUITE], 50)
    copying = result([answered(i, lead(i) if i.kind == "summary" else i.context) for i in SUITE], 50)
    assert perfect["total"]["score"]["value"] == 1.0 and all(t["met"] for t in perfect["tasks"].values())
    assert silent["total"]["score"]["value"] == 0.0 and not any(t["met"] for t in silent["tasks"].values())
    assert copying["total"]["score"]["value"] < 0.15


def test_nothing_measured_is_nothing_met() -> None:
    found = result([], 50)
    assert found["total"]["met"] is None and found["tasks"] == {} and found["seconds_median"] is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    found = figure(values, 200, 1)
    assert found == figure(values, 200, 1) and found["n"] == len(values)
    if len(values) > 1:
        assert min(values) - 1e-6 <= found["low"] <= found["high"] <= max(values) + 1e-6  # type: ignore[operator]
    else:
        assert found["low"] is None


def test_replies_on_the_card_are_shortened() -> None:
    (example,) = result([answered(QA, "あ\n" * 500)], 20)["examples"]
    assert len(example["reply"]) <= 161 and "\n" not in example["reply"]
