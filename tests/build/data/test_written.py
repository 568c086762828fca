"""Written requests: split by pass, filled in, and a broken row named by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from so8t.build.data.synth_report import report
from so8t.build.data.written import PASS_SPLIT, load_written
from so8t.core.errors import RecordInvalid, SourceMissing
from so8t.core.types import Decision, Domain, Sample, Split

CONTRACTS = {domain: {"role": f"{domain} の係"} for domain in Domain}
STATE = {"org_name": "試験社"}
ROW: dict[str, Any] = {
    "id": "desk-001",
    "pass": "desk",
    "query": "社内報の原稿を二百字に縮めてください。",
    "clearance": "社内限定",
    "classification": "社内限定",
    "domain": "general",
    "decision": "ALLOW",
    "register": "敬体",
    "pair": None,
    "attack": None,
    "reason": "LABELS 3",
    "response": "見出しと結びを残して縮めます。",
    "escalation_target": None,
}


def write(folder: Path, name: str, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def load(folder: Path) -> list[Sample]:
    return list(load_written(CONTRACTS, STATE, folder))


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    (sample,) = load(write(tmp_path, "desk", ROW))
    assert (sample.text, sample.decision, sample.split) == (ROW["query"], Decision.ALLOW, Split.TRAIN)
    assert (sample.source, sample.license, sample.family) == ("so8t written requests/desk", "CC0-1.0", "desk-001")
    assert sample.identity_contract == CONTRACTS[Domain.GENERAL] and sample.policy_state == STATE
    assert sample.policy_ref and sample.kind == "request"


@pytest.mark.parametrize(("name", "split"), PASS_SPLIT.items())
def test_split_follows_the_pass(tmp_path: Path, name: str, split: Split) -> None:
    (sample,) = load(write(tmp_path, name, {**ROW, "pass": name, "pair": "p1"}))
    assert (sample.split, sample.family, sample.pair) == (split, "p1", "p1")


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        {**ROW, "decision": "MAYBE"},
        {**ROW, "domain": "cooking"},
        {**ROW, "clearance": "秘"},
        {**ROW, "query": " "},
        {**ROW, "pass": "night"},
        {**ROW, "pair": 3},
        {**ROW, "decision": "ESCALATE"},
        {**ROW, "escalation_target": "部長"},
        {**ROW, "classification": "極秘"},
        {k: v for k, v in ROW.items() if k != "response"},
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, broken: dict[str, Any] | str) -> None:
    with pytest.raises(RecordInvalid) as caught:
        load(write(tmp_path, "desk", ROW, broken))
    assert caught.value.where.endswith("desk.jsonl:2")


def test_no_requests_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        load(tmp_path)


def test_the_shipped_requests_load_without_leak() -> None:
    figures = report(load_written(CONTRACTS, STATE))
    assert figures["contradictions"] == 0
    assert figures["splits"]["train"] > 0
