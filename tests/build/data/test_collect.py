"""Collecting: what is dropped is counted, domains are told, and the same sources give the same files."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.build.data import collect as module
from so8t.build.data.collect import DOMAIN_MODEL, collect
from so8t.build.data.validate import load_samples
from so8t.core.config import CollectConfig, Config, load_config
from so8t.core.errors import SourceEmpty, SourceMissing
from so8t.core.files import hash_folder
from so8t.core.progress import Progress
from so8t.core.types import Domain, Sample, Split
from so8t.decide.domain import BUCKETS, DomainModel

GOOD = (
    "発言を一言も漏らさず書き取った議事録は、苦労の割に読まれない。読み手が知りたいのは、何が決まり、誰がいつまでに何をし、"
    "何が決まらずに残ったかの三つである。したがって冒頭に決定事項と宿題を置き、経緯はその後に短く添えるとよい。"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training the real domain model takes seconds; test_domains.py and the micro run do that."""
    bias = np.zeros(8, np.float32)
    bias[list(Domain).index(Domain.FINANCE)] = 9
    model = DomainModel(np.zeros((8, BUCKETS), np.float32), bias, 1.0, 0.0)
    monkeypatch.setattr(module, "train_domain_model", lambda requests: (model, {"accuracy": 1.0}))


def made(
    tmp_path: Path, records: list[dict[str, Any]], name: str = "out", **changes: Any
) -> tuple[dict[str, Any], list[Sample], Path]:
    source, folder = tmp_path / "in.jsonl", tmp_path / name
    source.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records), encoding="utf-8")
    folder.mkdir()
    config = dataclasses.replace(load_config("micro"), collect=CollectConfig(sources=(str(source),), **changes))
    facts = collect(config, folder, [], Progress(stream=io.StringIO()))
    return facts, load_samples(sorted(folder.glob("*.jsonl"))), folder


def test_one_file_a_domain(tmp_path: Path) -> None:
    records = [
        {"text": GOOD, "domain": "medical", "license": "CC0-1.0", "source": "s"},
        {"text": GOOD.replace("議事録", "日誌")},
    ]
    facts, samples, folder = made(tmp_path, records)
    assert len(list(folder.glob("japanese_collected_*.jsonl"))) == 8
    assert [s.domain for s in samples] == [Domain.FINANCE, Domain.MEDICAL]  # stated, else told by the model
    assert (
        facts["texts"] == 2
        and facts["domains"]["medical"] == 1
        and facts["characters"] == sum(len(s.text) for s in samples)
    )
    assert facts["licenses"] == {"CC0-1.0": 1, "unknown": 1}
    assert samples[1].source == "s" and samples[1].kind == "text" and samples[1].decision is None
    DomainModel.from_bytes((folder / DOMAIN_MODEL).read_bytes())
    assert json.loads((folder / "collection_stats.json").read_text(encoding="utf-8")) == facts


def test_duplicates_and_junk_are_counted(tmp_path: Path) -> None:
    wide = GOOD.replace("議事録", "議 事 録")
    facts, samples, _ = made(tmp_path, [{"text": t} for t in (GOOD, GOOD, wide, "メニュー|トップ|戻る")])
    assert len(samples) == 1 and facts["dropped"] == {"duplicate": 2, "quality": 1}


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceEmpty, match="quality"):
        made(tmp_path, [{"text": "x"}])


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    config = dataclasses.replace(load_config("micro"), collect=CollectConfig(sources=(str(tmp_path / "no"),)))
    with pytest.raises(SourceMissing):
        collect(config, tmp_path, [], Progress(stream=io.StringIO()))


def numbered(n: int, **more: Any) -> list[dict[str, Any]]:
    return [{"text": f"第{k}号。{GOOD}", **more} for k in range(n)]


def test_the_same_sources_the_same_files(tmp_path: Path) -> None:
    _, _, first = made(tmp_path, numbered(20), "a")
    _, samples, second = made(tmp_path, numbered(20), "b")
    assert hash_folder(first) == hash_folder(second)
    assert len({s.id for s in samples}) == 20


def test_a_text_stays_in_its_split_whatever_else_is_collected(tmp_path: Path) -> None:
    _, few, _ = made(tmp_path, numbered(100), "a", validation_share=0.3)
    _, many, _ = made(tmp_path, numbered(200), "b", validation_share=0.3)
    splits = {s.id: s.split for s in many}
    assert all(splits[s.id] is s.split for s in few)
    held = sum(s.split is Split.VALIDATION for s in many)
    assert {s.split for s in many} == {Split.TRAIN, Split.VALIDATION} and 35 <= held <= 85


def test_a_maximum_takes_from_every_domain(tmp_path: Path) -> None:
    records = numbered(20, domain="medical") + [r | {"text": "別" + r["text"]} for r in numbered(3, domain="defense")]
    _, samples, _ = made(tmp_path, records, maximum_samples=8)
    assert sum(s.domain is Domain.DEFENSE for s in samples) == 3
    assert sum(s.domain is Domain.MEDICAL for s in samples) == 5


def test_the_micro_run_has_all_domains(micro_run: Path, micro_config: Config) -> None:
    samples = load_samples(sorted((micro_run / "collect").glob("*.jsonl")))
    assert len(samples) == micro_config.collect.maximum_samples and {s.domain for s in samples} == set(Domain)
