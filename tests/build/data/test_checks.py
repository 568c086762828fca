"""Each check passes what is sound and names the rows that are not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from so8t.build.data.checks import balance, contradictions, enough, families
from so8t.core.config import ValidateConfig
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split

A, E, D = DECISIONS


def sample(n: int, text: str, decision: Decision | None = A, split: Split = Split.TRAIN, **changes: Any) -> Sample:
    made = Sample(
        id=f"s{n}", kind="text" if decision is None else "request", text=text, source="t", license="CC0-1.0",
        domain=Domain.GENERAL, split=split, family=f"f{n}", decision=decision, clearance="社内限定",
        classification="公開",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_a_contradiction_names_both_rows() -> None:
    check = contradictions([sample(1, "送ってください。"), sample(2, " 送って ください。", D)])
    assert not check.passed and check.value == "1"
    (row,) = check.rows
    assert row.id == "s2" and "s1 ALLOW" in row.why and "DENY" in row.why and row.text == " 送って ください。"


def test_the_same_words_with_other_levels_are_no_contradiction() -> None:
    rows = [
        sample(1, "送って"),
        sample(2, "送って", D, classification="極秘"),
        sample(3, "送って", E, clearance="公開"),
    ]
    assert contradictions(rows).passed
    assert contradictions([sample(1, "文", None), sample(2, "文", None)]).passed


@pytest.mark.parametrize("key", ["family", "pair"])
def test_a_family_in_two_splits_is_a_leak(key: str) -> None:
    rows = [sample(n, f"文{n}", split=split, **{key: "共通"}) for n, split in enumerate((Split.TRAIN, Split.TEST))]
    check = families(rows)
    assert not check.passed and f"{key} 共通: test / train" in check.rows[0].why
    assert families([dataclasses.replace(r, split=Split.TRAIN) for r in rows]).passed


def test_plain_text_may_share_a_place() -> None:
    rows = [sample(1, "a", None, family="a.txt:1"), sample(2, "b", None, Split.VALIDATION, family="a.txt:1")]
    assert families(rows).passed


def labelled(a: int, e: int, d: int, split: Split = Split.TRAIN) -> list[Sample]:
    return [sample(n, f"文{n}", label, split) for n, label in enumerate([A] * a + [E] * e + [D] * d)]


def failed(limit: float, rows: list[Sample]) -> list[str]:
    return [c.name_en for c in balance(ValidateConfig(maximum_label_share=limit), rows) if not c.passed]


def test_label_shares() -> None:
    assert failed(0.5, labelled(5, 3, 2)) == []
    assert failed(0.5, labelled(6, 2, 2)) == ["share of ALLOW (train)"]
    assert failed(0.5, labelled(5, 5, 0)) == ["share of DENY (train)"]
    assert failed(0.5, labelled(6, 2, 2) + labelled(0, 9, 9, Split.TEST)) != []  # the other splits do not count


def test_too_few() -> None:
    assert enough(ValidateConfig(minimum_samples=10), labelled(4, 3, 3)).passed
    check = enough(ValidateConfig(minimum_samples=11), labelled(4, 3, 3))
    assert not check.passed and check.value == "10" and check.to_json()["passed"] is False


def test_a_long_text_is_cut() -> None:
    check = contradictions([sample(1, "長" * 2000), sample(2, "長" * 2000, D)])
    assert len(check.rows[0].text) == 400
