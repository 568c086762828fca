"""Contradictions and leaks stop the run; duplicates and personal data are repaired, never at the evaluation's cost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from so8t.build.data.checks import contradictions, families
from so8t.build.data.sample_lines import load_samples, sample_line, split_file
from so8t.build.data.validate import (
    REPORT_HTML,
    drop_contaminated,
    drop_duplicates,
    drop_near_evaluation,
    mask_pii,
    validate,
)
from so8t.core.config import ValidateConfig, load_config
from so8t.core.errors import RecordInvalid, ValidationFailed
from so8t.core.files import read_json
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split

A, E, D = DECISIONS


def sample(n: int, text: str, decision: Decision | None = A, split: Split = Split.TRAIN, **changes: Any) -> Sample:
    made = Sample(
        id=f"s{n}",
        kind="text" if decision is None else "request",
        text=text,
        source="t",
        license="CC0-1.0",
        domain=Domain.GENERAL,
        split=split,
        family=f"f{n}",
        decision=decision,
        clearance="社内限定",
        classification="公開",
    )
    return dataclasses.replace(made, **changes)


def config(**changes: Any) -> Any:
    return dataclasses.replace(load_config("micro"), validate=ValidateConfig(**{"minimum_samples": 1, **changes}))


@pytest.mark.parametrize("held", [Split.TEST, Split.CALIBRATION, Split.VALIDATION])
@pytest.mark.parametrize("held_first", [True, False])
def test_of_two_duplicates_the_evaluation_keeps_its_own(held: Split, held_first: bool) -> None:
    rows = [sample(1, "同じ文です。"), sample(2, "同じ　文です。", split=held), sample(3, "別の文です。")]
    kept, dropped = drop_duplicates(rows[::-1] if held_first else rows)
    assert {s.id for s in kept} == {"s2", "s3"} and dropped == 1


def test_duplicates_with_other_levels_stay() -> None:
    rows = [sample(1, "文"), sample(2, "文", classification="極秘", decision=D)]
    assert drop_duplicates(rows) == (rows, 0)


LONG = "取引先に社内の座席表を送ってもよいかどうか、総務の担当として判断の手順を教えてください。"


@pytest.mark.parametrize("held", [Split.TEST, Split.CALIBRATION])
def test_near_evaluation_goes_from_train_only(held: Split) -> None:
    near = LONG.replace("総務", "庶務")
    rows = [
        sample(1, LONG, split=held),
        sample(2, near),
        sample(3, near, split=Split.VALIDATION),
        sample(4, "献立を考えて。"),
        sample(5, near, None),
    ]
    kept, dropped = drop_near_evaluation(rows, 0.7)
    assert [s.id for s in kept] == ["s1", "s3", "s4", "s5"] and dropped == 1


def test_near_means_jaccard_of_three_letters() -> None:
    """abcdef / abcdeg share abc bcd cde of {abc bcd cde def / deg}: 3 of 5."""
    rows = [sample(1, "abcdef", split=Split.TEST), sample(2, "abcdeg")]
    assert drop_near_evaluation(rows, 0.6)[1] == 1
    assert drop_near_evaluation(rows, 0.61)[1] == 0


def test_personal_data_is_masked_and_counted() -> None:
    rows = [sample(1, "連絡先は 090-1234-5678 です。"), sample(2, "連絡先はありません。")]
    masked, found = mask_pii(rows)
    assert "1234" not in masked[0].text and masked[0].text.startswith("連絡先は ") and masked[1] is rows[1]
    assert sum(found.values()) == 1


def test_personal_data_in_answers_is_masked_too() -> None:
    """The model learns to write responses: a telephone number in one would be learned by heart."""
    masked, found = mask_pii([sample(1, "連絡先は？", response="090-1234-5678 です。")])
    assert masked[0].response and "1234" not in masked[0].response and sum(found.values()) == 1


def test_one_clean_file_a_split(tmp_path: Path) -> None:
    texts = [
        "献立を考えて。",
        "座席表を作って。",
        "案内文を書いて。",
        "図面を渡して。",
        "会議室を予約して。",
        "掃除当番を決めて。",
    ]
    rows = [sample(n, t, DECISIONS[n % 3], split=Split.TRAIN if n < 3 else Split.TEST) for n, t in enumerate(texts)]
    rows += [sample(10, texts[4] + "。", DECISIONS[1]), sample(11, "電話は 090-1234-5678 へ。", None, Split.VALIDATION)]
    facts = validate(config(near_duplicate=0.7), tmp_path, rows, {})
    assert facts["splits"] == {"train": 3, "validation": 1, "calibration": 0, "test": 3}
    assert facts["near_evaluation_dropped"] == 1 and sum(facts["pii_masked"].values()) == 1
    assert read_json(tmp_path / "statistics.json") == facts
    for split in Split:
        assert all(s.split is split for s in load_samples([split_file(tmp_path, split)]))
    assert all(read_json(tmp_path / "statistics.json")["checks"].values())
    assert (tmp_path / "report.md").is_file() and "<svg" in (tmp_path / REPORT_HTML).read_text(encoding="utf-8")


def test_when_a_check_fails_only_the_report_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed) as caught:
        validate(config(), tmp_path, [sample(1, "これを送って"), sample(2, "これを送って", D)], {})
    assert "s2" in caught.value.where and REPORT_HTML in caught.value.where and "contradictions" in caught.value.detail
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    assert "これを送って" in (tmp_path / REPORT_HTML).read_text(encoding="utf-8")


def test_texts_that_hold_an_evaluation_request_go() -> None:
    texts = [sample(1, f"例題。{LONG}答えは次のとおり。", None), sample(2, "献立の話をしよう。" * 5, None)]
    kept, dropped = drop_contaminated([*texts, sample(3, LONG, split=Split.TEST), sample(4, LONG)])
    assert [s.id for s in kept] == ["s2", "s3", "s4"] and dropped == 1
    assert drop_contaminated([*texts, sample(3, LONG, split=Split.TRAIN)])[1] == 0


def test_lines_are_what_to_json_says(tmp_path: Path) -> None:
    rows = [
        sample(1, '改\u2028行 "引用" \\ 😀'),
        sample(2, "文", None, register="敬体", policy_state={"b": 1, "a": ["極秘"]}),
    ]
    for row in rows:
        assert json.loads(sample_line(row)) == row.to_json()
        assert Sample.from_json(json.loads(sample_line(row))) == row


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(sample(1, "x").to_json()) + "\n" + '{"id": 1}\n', encoding="utf-8")
    with pytest.raises(RecordInvalid) as caught:
        load_samples([path])
    assert caught.value.where == f"{path}:2"


def test_the_micro_run_is_clean(micro_run: Path) -> None:
    rows = load_samples([split_file(micro_run / "validate", split) for split in Split])
    assert contradictions(rows).passed and families(rows).passed
    assert drop_duplicates(rows)[1] == 0 and drop_near_evaluation(rows, 0.8)[1] == 0 and mask_pii(rows)[1] == {}
