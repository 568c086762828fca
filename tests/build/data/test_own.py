"""The company's own labelled requests: for training alone, checked row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from so8t.build.data.own import load_own
from so8t.core.errors import RecordInvalid, SourceMissing
from so8t.core.packaged import policy_text
from so8t.core.types import Decision, Split
from so8t.decide.policy import parse_policy

POLICY = parse_policy(*policy_text("demo"))
ROW = {"id": "review-7", "query": "契約の件です。", "decision": "ALLOW", "domain": "business", "clearance": "社内限定"}


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_rows_become_samples_of_training_or_validation(tmp_path: Path) -> None:
    rows = [ROW | {"id": f"r{n}", "decision": d} for n in range(40) for d in ("ALLOW",)]
    samples = list(load_own([write(tmp_path / "own.jsonl", *rows)], POLICY))
    assert {s.split for s in samples} == {Split.TRAIN, Split.VALIDATION} and len({s.family for s in samples}) == 40
    assert all(s.source == "own/own" and s.classification == "公開" for s in samples)


def test_the_answer_is_the_given_one_or_what_the_gateway_says(tmp_path: Path) -> None:
    rows = [ROW | {"response": "こちらです。"}, *(ROW | {"id": d, "decision": d} for d in ("ESCALATE", "DENY"))]
    given, handed, refused = load_own([write(tmp_path / "own.jsonl", *rows)], POLICY)
    assert given.response == "こちらです。" and given.escalation_target is None
    assert handed.escalation_target and handed.escalation_target in str(handed.response)
    assert refused.decision is Decision.DENY and str(refused.policy_ref) in str(refused.response)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""}, {"query": None}, {"query": "あ" * 20_001}, {"decision": "MAYBE"}, {"decision": None},
        {"domain": "space"}, {"clearance": "最高"}, {"classification": "最高"}, {"classification": "極秘"},
    ],
)  # fmt: skip
def test_bad_rows_name_their_line(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(RecordInvalid, match=r"own\.jsonl:2"):
        list(load_own([write(tmp_path / "own.jsonl", ROW, ROW | {"id": "b"} | change)], POLICY))


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    with pytest.raises(RecordInvalid, match="taken"):
        list(load_own([write(tmp_path / "a.jsonl", ROW), write(tmp_path / "b.jsonl", ROW)], POLICY))
    with pytest.raises(SourceMissing):
        list(load_own([str(tmp_path / "none.jsonl")], POLICY))
