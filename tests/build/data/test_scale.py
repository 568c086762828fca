"""The real datatrove starts, shares out and restarts the collect stage; the result is that of one process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from so8t.build.data import collect as module
from so8t.build.data.collect import collect
from so8t.build.data.scale import CollectShard, run_local
from so8t.core.config import CollectConfig, SourceConfig, load_config
from so8t.core.files import hash_folder
from so8t.core.progress import Progress

from .conftest import different, write_records

pytest.importorskip("datatrove", reason="the extra so8t[scale]")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CollectConfig:
    """Two sources are two units: one for each of two workers."""
    texts = different(80)
    sources = []
    for n in range(2):
        folder = tmp_path / f"in{n}"
        folder.mkdir()
        write_records(folder / "a.jsonl", [{"text": t} for t in texts[40 * n : 40 * n + 40]])
        sources.append(SourceConfig(str(folder)))
    return CollectConfig(tuple(sources))


def finish(config: CollectConfig, work: Path, out: Path, silent: Progress) -> dict[str, str]:
    out.mkdir()
    whole = dataclasses.replace(load_config("micro"), collect=config, threads=1)
    collect(whole, out, work, [], silent)
    return hash_folder(out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of datatrove's own imports
def test_two_workers_give_what_one_gives(config: CollectConfig, tmp_path: Path, silent: Progress) -> None:
    alone = finish(config, tmp_path / "one", tmp_path / "out1", silent)
    step = CollectShard(config, (), tmp_path / "two")
    run_local(step, tasks=2, workers=2)
    parts = {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("part-*")}
    assert len(parts) == 6
    run_local(step, tasks=2, workers=2)  # finished tasks are skipped
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("part-*")} == parts
    assert finish(config, tmp_path / "two", tmp_path / "out2", silent) == alone


def test_shards_by_hand_give_what_one_gives(
    config: CollectConfig, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch, finance_model: object
) -> None:
    monkeypatch.setattr(module, "train_domain_model", lambda requests, progress: (finance_model, {}))
    alone = finish(config, tmp_path / "one", tmp_path / "out1", silent)
    step = CollectShard(config, (), tmp_path / "two")
    assert [step.run(shard, 2, silent) for shard in (1, 0)] == [[1], [0]]
    monkeypatch.setattr("so8t.build.data.gathering.make_part", None)  # nothing is left to be made
    assert finish(config, tmp_path / "two", tmp_path / "out2", silent) == alone
