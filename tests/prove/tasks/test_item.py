"""The suite that ships is whole and right by its own measure; a file from outside is read with limits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from so8t.core.errors import RecordInvalid, SourceEmpty, SourceMissing, SourceUnreadable, UsageError
from so8t.core.files import write_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import Domain
from so8t.decide.pii import IDENTIFIERS, find
from so8t.prove.paraphrases import paraphrases
from so8t.prove.similar_pairs import similar_pairs
from so8t.prove.tasks import item as module
from so8t.prove.tasks.item import TaskItem, empty_folder, packaged_items, read_items, subset
from so8t.prove.tasks.score import facts_told, lead, scores

QA = {"id": "q", "kind": "qa", "domain": "medical", "question": "何ですか。", "answers": ["心臓"]}
SUMMARY = {
    "id": "s", "kind": "summary", "domain": "general", "document": "長い文章です。" * 9, "reference": "長い文章",
    "facts": ["長い", ["文章", "ぶんしょう"]], "limit": 20,
}  # fmt: skip
SUITE = packaged_items()


def test_the_suite_is_whole() -> None:
    count = Counter((i.domain, i.kind) for i in SUITE)
    assert count == {(d, k): n for d in Domain for k, n in (("qa", 6), ("summary", 2))}
    assert len({i.id for i in SUITE}) == len(SUITE) == 64
    assert Counter(i.task for i in SUITE) == {"general_qa": 6, "domain_qa": 42, "summary": 16}


@pytest.mark.parametrize("item", [i for i in SUITE if i.kind == "qa"], ids=lambda i: i.id)
def test_every_accepted_answer_is_right_and_copying_is_not(item: TaskItem) -> None:
    for answer in item.answers:
        for reply in (answer, f"{answer}です。", f"答えは{answer}です。"):
            assert scores(item, reply)["score"] == 1.0, reply
    for reply in ("", "分かりません。", item.question, item.context, *item.wrong):
        assert scores(item, reply)["score"] == 0.0, reply


@pytest.mark.parametrize("item", [i for i in SUITE if i.kind == "summary"], ids=lambda i: i.id)
def test_every_reference_is_a_summary_and_the_beginning_is_not(item: TaskItem) -> None:
    assert 200 <= len(item.document) <= 400 and len(item.reference) <= item.limit < len(item.document) / 2
    assert scores(item, item.reference)["score"] == scores(item, item.reference)["within_limit"] == 1.0
    assert facts_told(item, item.document) == 1.0  # every fact stands in the document
    assert facts_told(item, lead(item)) < 1.0 and scores(item, item.document)["score"] < 1.0
    assert len(item.facts) == 4


def test_no_two_items_are_alike_and_none_was_trained_on() -> None:
    own = [i.document or i.context + i.question for i in SUITE]
    own += [s.text for s in paraphrases()]
    shipped = [p for folder in ("corpus", "requests") for p in packaged(folder).glob("*.jsonl")]
    records = [json.loads(line) for p in shipped for line in p.read_text(encoding="utf-8").splitlines()]
    rows = [*own, *(r.get("query") or r["text"] for r in records)]
    found = similar_pairs(rows, 0.5)
    near = [(rows[i], rows[j]) for i, j in zip(found.left, found.right, strict=True) if i < len(own) and j != i]
    groups = {s.text: s.family for s in paraphrases()}  # those of one group are alike on purpose
    assert [(a, b) for a, b in near if groups.get(a, a) != groups.get(b, b)] == []


def test_nobody_real_is_in_it() -> None:
    texts = [t for i in SUITE for t in (i.document, i.context, i.question, i.reference, *i.answers)]
    assert not [t for t in [*texts, *(s.text for s in paraphrases())] if find(t, IDENTIFIERS)]


def test_paraphrases_are_whole() -> None:
    groups: dict[str, list[Any]] = {}
    for sample in paraphrases():
        groups.setdefault(sample.family, []).append(sample)
    assert len(groups) == 16
    for members in groups.values():
        labels = Counter(s.decision for s in members)
        assert sorted(labels.values()) == [1, 4] and len({s.text for s in members}) == 5
        assert len({(s.clearance, s.classification, s.domain) for s in members}) == 1
        assert {s.register for s in members if labels[s.decision] == 4} == {"敬体", "常体", "くだけた", "メール"}
    assert Counter(s.decision for s in paraphrases()).total() == 80
    assert min(Counter(s.decision for s in paraphrases()).values()) >= 20
    assert {s.domain for s in paraphrases()} == set(Domain)


def test_a_bad_paraphrase_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p", [{"id": "a", "query": "x", "group": "g"}])
    with pytest.raises(RecordInvalid, match="decision") as caught:
        paraphrases(tmp_path / "p")
    assert caught.value.where.endswith(":1")


@pytest.mark.parametrize("record", [QA, SUMMARY], ids=["qa", "summary"])
def test_json_round_trip(record: dict[str, Any]) -> None:
    item = TaskItem.from_json(record)
    assert TaskItem.from_json(item.to_json()) == item and item.facts in ((), (("長い",), ("文章", "ぶんしょう")))


@pytest.mark.parametrize("item", SUITE, ids=lambda i: i.id)
def test_the_suite_survives_its_own_json(item: TaskItem) -> None:
    assert TaskItem.from_json(json.loads(json.dumps(item.to_json()))) == item
    assert item.query.count(item.document or item.question) == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "essay"}, "kind"), ({"kind": None}, "kind"), ({"domain": "sports"}, "sports"), ({"id": ""}, "id"),
        ({"id": 3}, "id"), ({"question": " "}, "question"), ({"question": "あ" * 20_001}, "question"),
        ({"answers": []}, "answers"), ({"answers": "心臓"}, "answers"), ({"answers": [""]}, "answers"),
        ({"answers": [3]}, "answers"), ({"answers": ["x"] * 65}, "answers"), ({"wrong": "x"}, "wrong"),
        ({"context": ["x"]}, "context"),
    ],
)  # fmt: skip
def test_bad_questions(change: dict[str, Any], word: str) -> None:
    with pytest.raises(RecordInvalid, match=word):
        TaskItem.from_json(QA | change, "here:1")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"document": None}, "document"), ({"reference": ""}, "reference"), ({"facts": []}, "facts"),
        ({"facts": "x"}, "facts"), ({"facts": [[]]}, "facts"), ({"facts": ["x"] * 65}, "facts"),
        ({"facts": [{"a": 1}]}, "facts"), ({"limit": 0}, "limit"), ({"limit": 2_001}, "limit"),
        ({"limit": True}, "limit"), ({"limit": "80"}, "limit"), ({"limit": 8.5}, "limit"),
    ],
)  # fmt: skip
def test_bad_summaries(change: dict[str, Any], word: str) -> None:
    with pytest.raises(RecordInvalid, match=word):
        TaskItem.from_json(SUMMARY | change, "here:1")


def test_reading_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [QA | {"extra": 1}, SUMMARY])
    assert [i.id for i in read_items(path)] == ["q", "s"]
    write_jsonl(path, [QA, SUMMARY, QA])
    with pytest.raises(RecordInvalid) as caught:
        read_items(path)
    assert caught.value.where == f"{path}:3"
    monkeypatch.setattr(module, "MAX_ITEMS", 1)
    write_jsonl(path, [QA, SUMMARY])
    with pytest.raises(SourceUnreadable, match="> 1"):
        read_items(path)
    write_jsonl(path, [])
    with pytest.raises(SourceEmpty):
        read_items(path)
    with pytest.raises(SourceMissing):
        read_items(tmp_path / "no")


def test_a_subset_sees_every_domain_and_kind() -> None:
    assert subset(SUITE, 0) == subset(SUITE, 64) == subset(SUITE, 999) == SUITE
    short = subset(SUITE, 16)
    assert {(i.domain, i.kind) for i in short} == {(d, k) for d in Domain for k in ("qa", "summary")}
    assert short == [i for i in SUITE if i in short] and len(subset(SUITE, 5)) == 5


def test_export_does_not_delete(tmp_path: Path) -> None:
    assert empty_folder(tmp_path / "new").is_dir()
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(UsageError, match="not empty"):
        empty_folder(tmp_path / "new")
    assert (tmp_path / "new" / "mine").exists()
