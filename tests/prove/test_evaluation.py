"""A user's file of labelled requests: what it may hold, and what stops it, by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so8t.core.errors import LevelUnknown, RecordInvalid, So8tError, SourceEmpty, SourceMissing, SourceUnreadable
from so8t.core.packaged import policy_text
from so8t.core.types import Decision, Domain, Split
from so8t.decide.policy import parse_policy
from so8t.prove import evaluation
from so8t.prove.evaluation import read_evaluation, read_texts

POLICY = parse_policy(*policy_text("demo"))
GOOD: dict[str, Any] = {"id": "a", "query": "議事録をまとめて", "decision": "ALLOW"}


def written(path: Path, *records: Any) -> Path:
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Any:
    return read_evaluation(path, POLICY, lambda text: Domain.MEDICAL)


def test_little_is_needed_and_much_is_taken(tmp_path: Path) -> None:
    full = {
        "id": 7, "text": "薬の量は", "decision": "ESCALATE", "clearance": "公開", "classification": "社内限定",
        "domain": "finance", "register": "常体", "attack": "kana", "pair": "p", "other": [1],
    }  # fmt: skip
    plain, rich = read(written(tmp_path / "f.jsonl", GOOD, "", full))
    assert (plain.decision, plain.clearance, plain.domain) == (Decision.ALLOW, POLICY.default_clearance, Domain.MEDICAL)
    assert plain.family == "a" and plain.split == Split.TEST and plain.source == "f.jsonl"
    assert (rich.id, rich.family, rich.pair, rich.domain) == ("7", "p", "p", Domain.FINANCE)
    assert (rich.clearance, rich.classification, rich.register, rich.attack) == ("公開", "社内限定", "常体", "kana")


WRONG: list[tuple[Any, str]] = [
    ({"id": "b", "query": "x"}, "decision"),
    ({"id": "b", "query": "x", "decision": "allow"}, "decision"),
    ({"id": "b", "query": "x", "decision": None}, "decision"),
    ({"id": "b", "query": "x", "decision": ["ALLOW"]}, "decision"),
    ({"id": "b", "decision": "ALLOW"}, "text"),
    ({"id": "b", "query": " ", "decision": "ALLOW"}, "query"),
    ({"id": "b", "query": "x" * 100_001, "decision": "ALLOW"}, "100000"),
    ({"query": "x", "decision": "ALLOW"}, "id"),
    ({"id": "", "query": "x", "decision": "ALLOW"}, "id"),
    ({"id": True, "query": "x", "decision": "ALLOW"}, "id"),
    ({"id": "a", "query": "x", "decision": "DENY"}, "f.jsonl:1"),
    ({"id": "b", "query": "x", "decision": "ALLOW", "domain": "cooking"}, "cooking"),
    ({"id": "b", "query": "x", "decision": "ALLOW", "domain": {}}, ""),
    ({"id": "b", "query": "x", "decision": "ALLOW", "pair": 3}, "pair"),
    ('{"id": "b", ', "JSON"),
    ("[1]", "JSON"),
]


@pytest.mark.parametrize(("record", "words"), WRONG)
def test_the_wrong_line_is_named(tmp_path: Path, record: Any, words: str) -> None:
    path = written(tmp_path / "f.jsonl", GOOD, record)
    if record == WRONG[12][0]:  # an empty object is no domain at all
        assert len(read(path)) == 2
        return
    with pytest.raises(RecordInvalid) as caught:
        read(path)
    assert caught.value.where == f"{path}:2" and words in caught.value.detail


def test_a_level_that_the_policy_does_not_know(tmp_path: Path) -> None:
    for key in ("clearance", "classification"):
        path = written(tmp_path / "f.jsonl", GOOD | {key: "最高機密"})
        with pytest.raises(LevelUnknown) as caught:
            read(path)
        assert caught.value.where == f"{path}:1" and "最高機密" in caught.value.detail


def test_no_file_an_empty_file_a_folder_and_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceMissing):
        read(tmp_path / "none")
    with pytest.raises(SourceEmpty):
        read(written(tmp_path / "f.jsonl", ""))
    with pytest.raises(SourceUnreadable):
        read(tmp_path)
    monkeypatch.setattr(evaluation, "MAXIMUM_REQUESTS", 1)
    with pytest.raises(SourceUnreadable, match="> 1 requests"):
        read(written(tmp_path / "f.jsonl", GOOD, GOOD | {"id": "b"}))


def test_texts(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", {"text": "一"}, {"text": "二"})
    assert read_texts(path, 9) == ["一", "二"] and read_texts(path, 1) == ["一"]
    with pytest.raises(RecordInvalid):
        read_texts(written(tmp_path / "t.jsonl", {"txt": "一"}), 9)
    with pytest.raises(SourceEmpty):
        read_texts(written(tmp_path / "t.jsonl", ""), 9)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["id", "query", "text", "decision", "domain", "clearance", "pair"]), JUNK))
def test_junk_is_an_error_of_ours_or_a_sample(tmp_path: Path, record: dict[str, Any]) -> None:
    path = written(tmp_path / "f.jsonl", json.dumps(record))
    try:
        (sample,) = read(path)
    except So8tError as error:
        assert error.where == f"{path}:1"
    else:
        assert sample.decision in Decision and sample.text.strip()
