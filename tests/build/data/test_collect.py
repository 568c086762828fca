"""Collecting: what is dropped is counted, domains are told, and the same sources give the same files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from so8t.build.data import collect as module
from so8t.build.data.collect import DOMAIN_MODEL, collect
from so8t.build.data.sample_lines import load_samples
from so8t.core.config import CollectConfig, Config, SourceConfig, load_config
from so8t.core.errors import SourceEmpty, SourceMissing
from so8t.core.files import hash_folder, read_jsonl
from so8t.core.progress import Progress
from so8t.core.types import Domain, Sample, Split
from so8t.decide.domain import DomainModel

from .conftest import GOOD, different, write_records


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, finance_model: DomainModel) -> None:
    """Training the real domain model takes seconds; test_domains.py and the micro run do that."""
    monkeypatch.setattr(module, "train_domain_model", lambda requests, progress: (finance_model, {"accuracy": 1.0}))


Made = tuple[dict[str, Any], list[Sample], Path]


def made(tmp_path: Path, silent: Progress, *sources: Any, name: str = "out", **changes: Any) -> Made:
    """sources: lists of records, or SourceConfig."""
    configured = []
    for n, source in enumerate(sources):
        if isinstance(source, list):
            source = SourceConfig(str(write_records(tmp_path / f"in{n}.jsonl", source)))
        configured.append(source)
    folder, work = tmp_path / name, tmp_path / f"work-{name}"
    folder.mkdir()
    work.mkdir(exist_ok=True)
    config = dataclasses.replace(load_config("micro"), threads=1, collect=CollectConfig(tuple(configured), **changes))
    facts = collect(config, folder, work, [], silent)
    return facts, load_samples(sorted(folder.glob("japanese_*.jsonl"))), folder


def records(texts: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"text": text, **more} for text in texts]


def test_one_file_a_domain(tmp_path: Path, silent: Progress) -> None:
    other = different(1)[0]
    facts, samples, folder = made(
        tmp_path, silent, [{"text": GOOD, "domain": "medical", "license": "CC0-1.0", "source": "s"}, {"text": other}]
    )
    assert len(list(folder.glob("japanese_collected_*.jsonl"))) == 8
    assert [s.domain for s in samples] == [Domain.FINANCE, Domain.MEDICAL]  # stated, else told by the model
    assert facts["texts"] == 2 and facts["domains"]["medical"] == 1
    assert facts["characters"] == sum(len(s.text) for s in samples)
    assert facts["licenses"] == {"CC0-1.0": 1, "unknown": 1}
    assert samples[1].source == "s" and samples[1].kind == "text" and samples[1].decision is None
    DomainModel.from_bytes((folder / DOMAIN_MODEL).read_bytes())
    assert json.loads((folder / "collection_stats.json").read_text(encoding="utf-8")) == facts


def test_duplicates_and_junk_are_counted(tmp_path: Path, silent: Progress) -> None:
    wide, near = GOOD.replace("議事録", "議 事 録"), GOOD.replace("短く", "手短に")
    facts, samples, folder = made(tmp_path, silent, records([GOOD, GOOD, wide, near, "メニュー|トップ|戻る"]))
    assert (
        [s.text for s in samples] == [GOOD] and facts["dropped"]["duplicate"] == 3 and facts["dropped"]["quality"] == 1
    )
    assert (facts["duplicates"]["exact"], facts["duplicates"]["near"]) == (2, 1)
    (cluster,) = [row for _, row in read_jsonl(folder / "duplicates.jsonl")]
    assert cluster["size"] == 4 and cluster["kept"]["place"] == "in0.jsonl:1"
    assert sorted(e["jaccard"] for e in cluster["examples"])[1:] == [1.0, 1.0]
    assert next(row["reasons"] for _, row in read_jsonl(folder / "rejected.jsonl"))


def test_duplicates_across_sources_stay_in_the_first(tmp_path: Path, silent: Progress) -> None:
    facts, samples, _ = made(tmp_path, silent, records(different(5), source="a"), records(different(8), source="b"))
    assert sorted(s.source for s in samples) == ["a"] * 5 + ["b"] * 3
    assert [s["dropped"].get("duplicate", 0) for s in facts["sources"]] == [0, 5]


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path, silent: Progress) -> None:
    with pytest.raises(SourceEmpty, match="quality"):
        made(tmp_path, silent, records(["x"]))


def test_a_missing_source_is_an_error(tmp_path: Path, silent: Progress) -> None:
    with pytest.raises(SourceMissing):
        made(tmp_path, silent, SourceConfig(str(tmp_path / "no")))


def test_the_same_sources_the_same_files(tmp_path: Path, silent: Progress) -> None:
    _, samples, first = made(tmp_path, silent, records(different(60)), name="a")
    _, _, second = made(tmp_path, silent, records(different(60)), name="b")
    assert hash_folder(first) == hash_folder(second)
    assert len({s.id for s in samples}) == 60


def test_a_text_stays_in_its_split_whatever_else_is_collected(tmp_path: Path, silent: Progress) -> None:
    _, few, _ = made(tmp_path, silent, records(different(100)), name="a", validation_share=0.3)
    _, many, _ = made(tmp_path, silent, records(different(200)), name="b", validation_share=0.3)
    splits = {s.id: s.split for s in many}
    assert all(splits[s.id] is s.split for s in few)
    held = sum(s.split is Split.VALIDATION for s in many)
    assert {s.split for s in many} == {Split.TRAIN, Split.VALIDATION} and 35 <= held <= 85


def test_quotas_of_sources_and_domains(tmp_path: Path, silent: Progress) -> None:
    texts = different(90)
    facts, samples, _ = made(
        tmp_path,
        silent,
        SourceConfig(str(write_records(tmp_path / "a.jsonl", records(texts[:60], source="a"))), share=0.75),
        SourceConfig(
            str(write_records(tmp_path / "b.jsonl", records(texts[60:], source="b", domain="medical"))), share=0.25
        ),
        maximum_samples=80,
        maximum_per_domain=20,
    )
    counts = {(s.source, s.domain) for s in samples}
    assert counts == {("a", Domain.FINANCE), ("b", Domain.MEDICAL)}
    assert [s["kept"] for s in facts["sources"]] == [15, 5]  # a quarter and three quarters of 20
    assert [s["unfilled"] for s in facts["sources"]] == [45, 15]
    assert facts["domain_quota"]["medical"] == 20 and facts["dropped"]["domain quota"] == 70


def test_it_reads_on_when_duplicates_left_a_quota_open(
    tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    from so8t.build.data import gathering

    monkeypatch.setattr(gathering, "PART_DOCUMENTS", 10)
    texts = [GOOD] * 30 + different(40)
    facts, samples, _ = made(tmp_path, silent, records(texts), maximum_samples=20, maximum_per_domain=0)
    assert len(samples) == 20 and facts["sources"][0]["unfilled"] == 0 and facts["sources"][0]["read"] < 70


def test_a_second_start_reads_nothing_again(tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    from so8t.build.data import gathering

    _, samples, _ = made(tmp_path, silent, records(different(30)), name="a")
    (tmp_path / "a").rename(tmp_path / "before")
    monkeypatch.setattr(gathering, "make_part", None)
    configured = SourceConfig(str(tmp_path / "in0.jsonl"))
    _, again, _ = made(tmp_path, silent, configured, name="a")
    assert again == samples


def test_the_micro_run_has_all_domains(micro_run: Path, micro_config: Config) -> None:
    samples = load_samples(sorted((micro_run / "collect").glob("japanese_*.jsonl")))
    assert len(samples) == micro_config.collect.maximum_samples and {s.domain for s in samples} == set(Domain)
