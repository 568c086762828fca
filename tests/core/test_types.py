"""Samples survive JSON and notice changes; levels never guess; one value has one canonical spelling."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import LevelUnknown, RecordInvalid
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Opinion, Sample, Split, Verdict, canonical_json


def sample(**changes: Any) -> Sample:
    made = Sample(
        id="a-1",
        kind="request",
        text="議事録をまとめてください。",
        source="t",
        license="CC0-1.0",
        domain=Domain.BUSINESS,
        split=Split.TRAIN,
        family="f",
        decision=Decision.ALLOW,
        response="はい。",
        clearance="社内限定",
        classification="公開",
        identity_contract={"role": "係", "limitations": ["一", "二"]},
    )
    return dataclasses.replace(made, **changes)


def test_severity_follows_the_order_of_labels() -> None:
    assert [d.value for d in DECISIONS] == ["ALLOW", "ESCALATE", "DENY"]
    assert [d.severity for d in DECISIONS] == [0, 1, 2]


def test_sample_round_trip() -> None:
    record = json.loads(json.dumps(sample().to_json(), ensure_ascii=False))
    assert Sample.from_json(record) == sample()
    assert record["domain"] == "business" and record["decision"] == "ALLOW"
    assert "register" not in record  # what is not set is not written
    assert Sample.from_json(record | {"note": "other keys are ignored"}) == sample()


def test_sha256_is_of_the_content_not_of_the_id() -> None:
    assert sample().sha256 == sample(id="b-2").sha256
    for change in (
        {"text": "x"},
        {"decision": Decision.DENY},
        {"split": Split.TEST},
        {"clearance": "極秘"},
        {"family": "g"},
    ):
        assert sample().sha256 != sample(**change).sha256


@pytest.mark.parametrize(
    "change",
    [{"text": "別の文"}, {"domain": "sports"}, {"split": "holdout"}, {"decision": "MAYBE"}, {"decision": "DENY"}],
)
def test_a_changed_record_is_refused_with_its_line(change: dict[str, str]) -> None:
    with pytest.raises(RecordInvalid) as caught:
        Sample.from_json(sample().to_json() | change, "f.jsonl:7")
    assert caught.value.where == "f.jsonl:7"


@pytest.mark.parametrize("key", ["id", "text", "domain", "split", "family"])
def test_a_missing_field_is_named(key: str) -> None:
    record = sample().to_json()
    del record[key]
    with pytest.raises(RecordInvalid, match=key):
        Sample.from_json(record, "f:1")


def test_levels() -> None:
    levels = Levels()
    assert [levels.gap("社内限定", n) for n in levels.names] == [-1, 0, 1, 2]
    with pytest.raises(LevelUnknown, match="行内限定"):
        levels.rank("行内限定")
    with pytest.raises(LevelUnknown):
        levels.gap("社内限定", "")
    assert Levels(("公開", "行内限定", "部外秘", "極秘")).gap("公開", "行内限定") == 1


def test_canonical_json() -> None:
    assert canonical_json({"b": 1, "a": "あ"}) == '{"a":"あ","b":1}'
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            canonical_json({"x": bad})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_canonical_json_is_one_spelling(value: dict[str, Any]) -> None:
    reordered = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(reordered)
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


def test_opinion_abstains_or_failed() -> None:
    assert Opinion("x").abstains and not Opinion("x", failed=True).abstains
    assert Opinion("x").to_json() == {
        "judge": "x",
        "decision": None,
        "probabilities": None,
        "rules": [],
        "reason": "",
        "ms": 0.0,
        "failed": False,
    }


def test_confidence_is_the_probability_of_the_decision() -> None:
    verdict = Verdict("r", Decision.ESCALATE, {Decision.ALLOW: 0.5, Decision.ESCALATE: 0.3, Decision.DENY: 0.2}, ())
    assert verdict.confidence == 0.3
    record = verdict.to_json()
    assert record["id"] == "r" and record["confidence"] == 0.3
    assert record["probabilities"] == {"ALLOW": 0.5, "ESCALATE": 0.3, "DENY": 0.2}
