"""What is measured of a trained model, against the same figures computed the plain way."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from so8t.build.ablation.measure import Meter, Scope, measure, scope_window, token_losses, with_adapter
from so8t.build.ablation.settings import trained_config
from so8t.build.ablation.windows import borders, long_windows
from so8t.build.model.attach import GatedModel
from so8t.build.model.head import Head
from so8t.build.model.losses import IGNORE
from so8t.build.model.pet import pet_loss
from so8t.build.train.ranks import Ranks
from so8t.build.train.stage import make_trainer
from so8t.core.config import Config
from so8t.core.errors import CheckpointBroken, RecordInvalid, StageBroken, StageMissing
from so8t.core.progress import Progress
from so8t.core.run import Run, StageContext
from so8t.core.types import DECISIONS, Domain, Sample, Split
from so8t.prove.ablation.measured import measured

CPU = torch.device("cpu")
SMALL = Scope(window=320, windows=2, continued=1, requests=9)


def quiet() -> Progress:
    return Progress(stream=io.StringIO())


@pytest.fixture(scope="module")
def record(micro_run: Path) -> dict[str, Any]:
    return measure(Run(micro_run), SMALL, 1, quiet())


@pytest.fixture(scope="module")
def meter(micro_run: Path, micro_config: Config) -> Meter:
    return Meter(
        StageContext(Run(micro_run), micro_config, "train", quiet()), CPU, dataclasses.replace(SMALL, requests=0)
    )


def total(record: dict[str, Any], unit: str) -> list[float]:
    return [math.fsum(column) for column in zip(*record["units"][unit]["sums"], strict=True)]


def test_what_build_writes_prove_reads(record: dict[str, Any], micro_run: Path) -> None:
    found = measured(json.loads(json.dumps(record)), micro_run / "train" / "history.jsonl", "here")
    assert set(found.units) == {"answers", "decisions", "roughness", "long", "texts"}
    assert found.facts["split"] == "validation" and found.facts["trained_tokens"] == 256
    assert [p[:2] for p in found.positions] == [(0, 128), (128, 256), (256, 320)]


def test_every_request_is_decided_once(record: dict[str, Any]) -> None:
    cells = total(record, "decisions")
    assert sum(cells) == record["facts"]["requests"] == 9
    assert [sum(cells[3 * i : 3 * i + 3]) for i in range(3)] == [3, 3, 3]


def test_the_test_split_is_never_read(micro_run: Path, tmp_path: Path, record: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(micro_run, tmp_path / "micro"))
    (folder / "validate" / "test.jsonl").write_text("nothing to read here\n", encoding="utf-8")
    run = Run(folder)
    manifest = run.manifest("validate")
    assert manifest is not None
    run.finish(manifest)
    assert measure(run, SMALL, 1, quiet()) == record  # and the same again


@torch.no_grad()
def test_the_loss_is_the_trainers_own(micro_run: Path, micro_config: Config, tmp_path: Path, meter: Meter) -> None:
    folder = Path(shutil.copytree(micro_run, tmp_path / "micro"))
    ctx = StageContext(Run(folder), micro_config, "train", quiet())
    trainer = make_trainer(ctx, CPU, Ranks(), ())
    with_adapter(trainer.model, ctx)
    trainer.validation = [meter._encode(s) for s in meter.requests]
    nll, count = total({"units": meter._requests()}, "answers")
    assert nll / count == pytest.approx(trainer.validation_loss(), rel=1e-5)


@torch.no_grad()
def test_decision_and_roughness_of_one_request(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without batches and padding, from the logits of the prompt itself."""
    sample = meter.requests[0]
    monkeypatch.setattr(meter, "requests", [sample])
    unit = meter._requests()
    row = meter._encode(sample)
    ids = torch.tensor([row.ids])
    before = next(i for i, label in enumerate(row.labels) if label != IGNORE)
    scores = meter.model.causal(input_ids=ids[:, :before]).logits[0, -1]
    first = [meter.tokenizer(d.value)["input_ids"][0] for d in DECISIONS]
    assert sample.decision is not None
    cell = 3 * DECISIONS.index(sample.decision) + int(scores[first].argmax())
    assert unit["decisions"]["sums"][0][cell] == 1
    total_, count = unit["roughness"]["sums"][0]
    smooth = pet_loss(meter.model.hidden(ids), torch.ones_like(ids))
    assert total_ / count == pytest.approx(float(smooth), rel=1e-4)


@torch.no_grad()
def test_long_loss_is_of_what_lies_beyond_the_trained_length(meter: Meter) -> None:
    sums, parts = meter._long()
    expected, count = 0.0, 0
    for window in meter.windows:
        ids = torch.tensor([window.ids])
        losses = F.cross_entropy(meter.model.causal(input_ids=ids).logits[0, :-1].float(), ids[0, 1:], reduction="none")
        expected, count = expected + float(losses[255:].sum()), count + 64
    assert sum(s[0] for s in sums.values()) == pytest.approx(expected, rel=1e-4)
    assert sum(s[1] for s in sums.values()) == count == sum(p[3] for p in parts if p[0] >= 256)


@torch.no_grad()
def test_continuations_are_what_the_model_says_without_a_cache(meter: Meter) -> None:
    given = [w.ids[:20] for w in meter.windows]
    made = meter._greedy(given, 4)
    for row, begin in zip(made, given, strict=True):
        ids = list(begin)
        for token in row:
            assert token == int(meter.model.causal(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)


def test_the_kept_weights_are_in_place(meter: Meter, micro_run: Path) -> None:
    stored = load_file(micro_run / "train" / "adapter.safetensors")
    assert all(torch.equal(p, stored[n]) for n, p in meter.model.parameters().items())
    assert not meter.model.causal.training
    angle = meter._angle()
    assert angle is not None and 0 < angle < 180
    assert meter._angle() == pytest.approx(math.degrees(Run(micro_run).manifest("train").facts["mean_angle"]))  # type: ignore[union-attr]


def test_a_model_without_gates_has_no_angle(
    meter: Meter, make_gated: Callable[..., GatedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "model", make_gated(gate=False))
    assert meter._angle() is None


def test_an_adapter_of_another_model(micro_run: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(micro_run, tmp_path / "micro")))
    path = run.stage("train") / "adapter.safetensors"
    values = load_file(path)
    values["rotations.skew"] = values["rotations.skew"][:, :1].clone()
    save_file(values, path)
    with pytest.raises(StageBroken):
        measure(run, SMALL, 1, quiet())
    manifest = run.manifest("train")
    assert manifest is not None
    run.finish(manifest)
    with pytest.raises(CheckpointBroken):
        measure(run, SMALL, 1, quiet())


def test_a_run_without_a_training(tmp_path: Path) -> None:
    with pytest.raises(StageMissing):
        measure(Run(tmp_path), SMALL, 1, quiet())


def test_settings_come_from_the_manifest(micro_run: Path, micro_config: Config) -> None:
    manifest = Run(micro_run).manifest("train")
    assert manifest is not None
    found = trained_config(manifest, "here")
    kept = dataclasses.replace(
        micro_config.train, checkpoint=found.train.checkpoint, gpu=found.train.gpu, sharding=found.train.sharding
    )
    assert found.train == kept and found.prompt == micro_config.prompt


@pytest.mark.parametrize(
    "config", [{"train.unknown": 1}, {"train.pet": {"odd": 1}}, {"train.pet": 3}, {"prompt": "compact"}]
)
def test_settings_of_another_version(micro_run: Path, config: dict[str, Any]) -> None:
    manifest = Run(micro_run).manifest("train")
    assert manifest is not None
    manifest.config = {**manifest.config, **config}
    with pytest.raises(RecordInvalid) as caught:
        trained_config(manifest, "here")
    assert caught.value.where == "here"


def test_token_losses_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    linear = torch.nn.Linear(8, 50, bias=False)
    hidden = torch.randn(37, 8, generator=generator)
    labels = torch.randint(0, 50, (37,), generator=generator)
    labels[3] = IGNORE
    whole = F.cross_entropy(linear(hidden), labels, ignore_index=IGNORE, reduction="none")
    monkeypatch.setattr("so8t.build.ablation.measure.chunk_tokens", lambda _vocabulary: 16)
    found = token_losses(hidden, labels, Head(linear))
    assert torch.allclose(found, whole, atol=1e-6) and found[3] == 0


def texts(count: int) -> list[Sample]:
    return [
        Sample(
            f"t{i}",
            "text",
            f"検査報告 {i} は部外秘です。" * 3,
            "here",
            "CC0-1.0",
            Domain.GENERAL,
            Split.VALIDATION,
            "f",
        )
        for i in range(count)
    ]


def test_windows_are_full_and_the_same_for_everybody(tokenizer: Any) -> None:
    samples = texts(30)
    windows = long_windows(samples, tokenizer, 64, 5)
    assert windows == long_windows(samples, tokenizer, 64, 5) and len(windows) == 5
    assert all(len(w.ids) == len(w.texts) == 64 for w in windows)
    numbers = [n for w in windows for n in w.texts]
    assert len(set(numbers)) == 1 + sum(a != b for a, b in itertools.pairwise(numbers))  # each text once
    assert long_windows(samples[:1], tokenizer, 4096, 5) == [] and long_windows([], tokenizer, 8, 1) == []
    every = long_windows(samples, tokenizer, 64, 1000)
    assert every[:5] == windows and len({n for w in every for n in w.texts}) >= 29


@pytest.mark.parametrize("length", [1, 100, 128, 129, 320, 2048, 3000])
def test_borders_cover_the_window_once(length: int) -> None:
    found = borders(length)
    assert [p for low, high in found for p in range(low, high)] == list(range(length))


def test_the_plan_asks_for_2048_tokens_and_more_than_was_trained() -> None:
    assert scope_window(320) == 2048 and scope_window(2048) == 4096
