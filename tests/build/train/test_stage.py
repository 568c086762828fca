"""The stage `train` on a real micro base: what it leaves, what it says when memory is short or a card is hot."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from so8t.build.train import stage
from so8t.build.train.gpu import Reading
from so8t.build.train.history import Events, StepFacts
from so8t.build.train.stage import REPORT, run_train
from so8t.build.train.stop import stop_request
from so8t.build.train.trainer import Trainer
from so8t.build.train.watchers import Curves, Heat
from so8t.core.config import Config, GpuConfig
from so8t.core.errors import MemoryShort
from so8t.core.progress import Progress
from so8t.core.run import Run, StageContext

FACTS = StepFacts(3, 2.0, 0.5, 0.01, 1e-3, 0.7, 40, (0.1, 0.2))


@pytest.fixture
def context(micro_run: Path, micro_config: Config, tmp_path: Path) -> StageContext:
    """A copy of the micro run whose training is still to be done."""
    folder = Path(shutil.copytree(micro_run, tmp_path / "micro"))
    for made in (folder / "train", folder / "work" / "train"):
        shutil.rmtree(made)
    (folder / "train").mkdir()
    return StageContext(Run(folder), micro_config, "train", Progress(stream=io.StringIO()))


def said(context: StageContext) -> str:
    stream = context.progress._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_the_folder_holds_the_same_bytes_as_the_run_it_was_copied_from(context: StageContext, micro_run: Path) -> None:
    facts = run_train(context)
    assert sorted(p.name for p in context.folder.iterdir()) == ["adapter.safetensors", "history.jsonl"]
    for name in ("adapter.safetensors", "history.jsonl"):
        assert (context.folder / name).read_bytes() == (micro_run / "train" / name).read_bytes()
    assert facts["gate_parameters"] == 256 // 8 * 28 and facts["processes"] == 1 and facts["device"] == "cpu"
    assert facts["tokens_per_second"] > 0 and facts["seconds"] > 0
    page = (context.run.folder / REPORT).read_text(encoding="utf-8")
    assert "<svg" in page and "micro" in page
    assert list((context.run.folder / "tensorboard").glob("events.out.tfevents.*"))
    assert "回転ゲート 896" in said(context) and "AdamW" in said(context)


def test_short_memory_ends_with_what_to_try(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(_self: Trainer) -> dict[str, Any]:
        raise MemoryShort(where="cpu", detail="not enough memory")

    monkeypatch.setattr(Trainer, "run", short)
    with pytest.raises(MemoryShort) as caught:
        run_train(context)
    assert caught.value.detail.startswith("not enough memory; train.maximum_tokens = 128 (")
    assert "train.lora.rank = 2" in caught.value.detail


def test_a_card_is_asked_for_where_there_is_one(context: StageContext) -> None:
    """Without a card there is no thermostat, and the curves are closed at the end."""
    device = stage.training_device()
    with stage.watching(context, device, stage.Ranks()) as watchers:
        assert [type(w) for w in watchers] == ([Heat, Curves] if device.type == "cuda" else [Curves])
    with stage.watching(context, device, stage.Ranks(1, 2)) as watchers:
        assert not any(isinstance(w, Curves) for w in watchers)


class HotSensor:
    def read(self) -> Reading:
        return Reading(78.0, 1 << 30, 12 << 30, 0.9, 300.0)


def test_heat_is_noted_at_its_step(tmp_path: Path) -> None:
    progress = Progress(stream=io.StringIO())
    heat = Heat(GpuConfig(warn=75.0, pause=80.0, resume=70.0, seconds=0.0), HotSensor(), Events(tmp_path), progress)
    with stop_request() as stop:
        heat.rewind(0)
        heat.step(FACTS, stop)
        heat.step(dataclasses.replace(FACTS, step=4), stop)
    records = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(r["event"], r["step"]) for r in records] == [("gpu", 3), ("hot", 3), ("gpu", 4)]
