"""The failure ladder at the trainer's boundary: each failure leaves a resumable run and a plain message (T4, T5)."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.build.train import checkpoint
from so8t.build.train.dataset import Batch
from so8t.build.train.history import StepFacts
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, PetConfig, RecoveryConfig
from so8t.core.errors import CheckpointBroken, DeviceLost, DiskFull, MemoryShort, TrainingDiverged

from .training_case import FULL, PLAIN, history, kill_after, rows, same, weights

Build = Callable[..., Trainer]
LOST = "CUDA error: unspecified launch failure"


def events(made: Trainer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.work / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def said(made: Trainer) -> str:
    stream = made.progress._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def small_memory(largest: int) -> Callable[[Trainer, Batch], Any]:
    """Losses on a device that holds `largest` rows at a time."""
    original = Trainer.losses

    def losses(self: Trainer, batch: Batch) -> Any:
        if len(batch.input_ids) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return original(self, batch)

    return losses


@pytest.mark.parametrize("largest", [1, 2])
def test_out_of_memory_cuts_micro_batches_and_keeps_the_mathematics(
    build: Build, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Samples of unequal length, PET, accumulation: the same losses and weights as with memory enough."""
    config = dataclasses.replace(PLAIN, epochs=3.0, accumulation=2, epsilon=1e-3)
    whole = build(config, rows(11), "whole")
    whole.run()
    made = build(config, rows(11), "short")
    monkeypatch.setattr(Trainer, "losses", small_memory(largest))
    made.run()
    assert made.pieces == 4 // largest
    for a, b in zip(history(whole), history(made), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5) and a["pet"] == pytest.approx(b["pet"], abs=1e-5)
    one, other = weights(whole), weights(made)
    assert all(torch.allclose(one[n], other[n], atol=2e-5) for n in one)
    assert [e["pieces"] for e in events(made) if e["event"] == "split"] == [2, 4][: made.pieces // 2]
    assert "メモリが足りない" in said(made)


def test_a_cut_training_resumes_cut_and_bit_for_bit(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout draws its numbers by the piece, so the pieces are part of the state."""
    config = dataclasses.replace(FULL, batch_size=4)
    monkeypatch.setattr(Trainer, "losses", small_memory(2))
    whole = build(config, rows(26), "whole")
    facts = whole.run()
    kill_after(build(config, rows(26), "parts"), 3, monkeypatch)
    resumed = build(config, rows(26), "parts")
    same(resumed, whole, resumed.run(), facts)
    assert resumed.pieces == 2


def test_single_rows_that_do_not_fit_end_in_a_message(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(PLAIN, rows(8))
    monkeypatch.setattr(Trainer, "losses", small_memory(0))
    with pytest.raises(MemoryShort):
        made.run()
    assert made.pieces == 4
    assert checkpoint.newest(made.work)[0] is not None  # and the run resumes


def test_other_errors_are_not_taken_for_short_memory(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(PLAIN, rows(8))

    def broken(_self: Trainer, _batch: Batch) -> Any:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(Trainer, "losses", broken)
    with pytest.raises(ValueError, match="shapes"):
        made.run()
    assert made.pieces == 1


def test_lost_gpu_leaves_a_resumable_run(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    made, original = build(FULL, rows(13), "parts"), Trainer.step

    def step_or_lose(self: Trainer, number: int, stop: bool = False) -> StepFacts:
        if number == 4:
            raise RuntimeError(f"{LOST}\nCompile with TORCH_USE_CUDA_DSA")
        return original(self, number, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step_or_lose)
        with pytest.raises(DeviceLost) as caught:
            made.run()
    assert caught.value.detail == LOST and caught.value.exit_code == 5
    resumed = build(FULL, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


RECOVER = dataclasses.replace(
    PLAIN, epochs=8.0, recovery=RecoveryConfig(retries=3, spike=3.0, window=10),
    checkpoint=CheckpointConfig(seconds=0.0, keep=3),
)  # fmt: skip


def explode(times: int, at: int) -> Callable[..., StepFacts]:
    """Step `at` diverges the first `times` times."""
    original, left = Trainer.step, [times]

    def step(self: Trainer, number: int, stop: bool = False) -> StepFacts:
        if number == at and left[0]:
            left[0] -= 1
            raise TrainingDiverged(where=f"step {number}", detail="loss nan")
        return original(self, number, stop)

    return step


def test_divergence_goes_back_and_halves_the_rate(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build(RECOVER, rows(8), "plain")
    plain.run()
    made = build(RECOVER, rows(8))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", explode(2, 6))
        made.run()
    ours, theirs = history(made), history(plain)
    assert [r["step"] for r in ours] == list(range(16))
    assert ours[:6] == theirs[:6]
    assert [r["rate"] for r in ours[6:]] == pytest.approx([r["rate"] / 4 for r in theirs[6:]])
    found = [e for e in events(made) if e["event"] == "rollback"]
    assert [e["step"] for e in found] == [6, 6] and "0.25" in found[1]["ja"]
    # Another process resumes with the lower rate too.
    resumed = build(RECOVER, rows(8))
    assert resumed._rollbacks.factor(6) == 0.25 and resumed._rollbacks.factor(5) == 1.0


def test_a_torn_newest_checkpoint_is_passed_over_when_going_back(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = build(RECOVER, rows(8)), checkpoint.newest

    def tear_first(folder: Path) -> Any:
        (checkpoint.folders(folder)[-1] / "optimizer.pt").write_bytes(b"torn")
        return original(folder)

    monkeypatch.setattr(Trainer, "step", explode(1, 6))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_resume", lambda self: self._rewind(0) or 0)
        patch.setattr(checkpoint, "newest", tear_first)
        made.run()
    assert [e["step"] for e in events(made) if e["event"] == "rollback"] == [5]
    assert [r["step"] for r in history(made)] == list(range(16))


def test_after_three_it_gives_up(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(RECOVER, rows(8))
    monkeypatch.setattr(Trainer, "step", explode(99, 6))
    with pytest.raises(TrainingDiverged):
        made.run()
    assert [e["event"] for e in events(made)].count("rollback") == 3
    assert checkpoint.newest(made.work)[0] is not None


def test_a_real_spike_is_seen(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss four times the usual one: the step is not taken, training goes on from the checkpoint before it."""
    made, original, hit = build(RECOVER, rows(8)), Trainer.losses, [False]

    def losses(self: Trainer, batch: Batch) -> Any:
        ce, smooth = original(self, batch)
        if len(history(self)) == 12 and not hit[0]:
            hit[0] = True
            return 4 * ce, smooth
        return ce, smooth

    before: list[dict[str, torch.Tensor]] = []
    restore = Trainer._restore
    monkeypatch.setattr(Trainer, "_restore", lambda self, state: before.append(weights(self)) or restore(self, state))
    monkeypatch.setattr(Trainer, "losses", losses)
    made.run()
    assert [e["step"] for e in events(made) if e["event"] == "rollback"] == [12]
    saved = checkpoint.load(made.work / "step-00000012").parameters if (made.work / "step-00000012").exists() else {}
    assert all(torch.equal(before[0][n], saved[n]) for n in saved)
    assert [r["step"] for r in history(made)] == list(range(16))


def test_advice_is_given_once(build: Build) -> None:
    stuck = dataclasses.replace(RECOVER, epochs=40.0, learning_rate=1e-12, pet=PetConfig(enabled=False),
                                checkpoint=CheckpointConfig(seconds=1e9))  # fmt: skip
    made = build(stuck, rows(4))
    made.run()
    found = [e for e in events(made) if e["event"] == "advice"]
    assert [e["kind"] for e in found] == ["no-progress"]
    assert "学習率" in said(made)


def full_after(count: int) -> Callable[[Path, checkpoint.State], None]:
    """A disk that takes `count` checkpoints and is full from then on."""
    original, left = checkpoint._write, [count]

    def write(partial: Path, state: checkpoint.State) -> None:
        if not left[0]:
            (partial / "parameters.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")
        left[0] -= 1
        original(partial, state)

    return write


def test_full_disk_stops_with_the_last_whole_checkpoint(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    made = build(FULL, rows(13), "parts")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full_after(3))
        with pytest.raises(DiskFull):
            made.run()
    assert not list(made.work.glob(".*partial"))
    assert len(checkpoint.folders(made.work)) == 1  # older ones were given up for room, the newest whole one was not
    resumed = build(FULL, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


def test_a_disk_full_from_the_start_is_told_before_any_work(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(dataclasses.replace(PLAIN, epochs=50.0), rows(13))
    monkeypatch.setattr(checkpoint, "_write", full_after(0))
    with pytest.raises(DiskFull):
        made.run()
    assert len(history(made)) < 50


def test_training_goes_back_to_a_checkpoint_by_hand(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """`so8t train --from`: the later ones are set aside, not deleted, and do not come back at the next start."""
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    kill_after(build(FULL, rows(13), "parts"), 5, monkeypatch)
    made = build(FULL, rows(13), "parts")
    made.resume_from = made.work / "step-00000002"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", explode(99, 3))
        with pytest.raises(TrainingDiverged):
            made.run()
    assert sorted(p.name[-1] for p in (made.work / "aside").iterdir()) == ["3", "4", "5"]
    assert checkpoint.folders(made.work)[-1].name == "step-00000003"  # made anew on the way
    (made.work / "rollbacks.json").unlink()
    resumed = build(FULL, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


def test_a_checkpoint_of_other_data_is_refused(build: Build) -> None:
    build(FULL, rows(13), "work").run()
    with pytest.raises(CheckpointBroken, match="other data"):
        build(FULL, rows(20), "work").run()


class Observer:
    """A watcher that asks for a stop at a step, and notes what it was shown."""

    def __init__(self, at: int) -> None:
        self.at, self.steps, self.rewinds = at, [], []  # type: ignore[var-annotated]

    def step(self, facts: StepFacts, stop: threading.Event) -> None:
        self.steps.append(facts.step)
        if facts.step == self.at:
            stop.set()

    def rewind(self, step: int) -> None:
        self.rewinds.append(step)


def test_watchers_see_every_step_and_every_way_back(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(RECOVER, rows(8))
    seen = Observer(99)
    made.watchers = [seen]
    monkeypatch.setattr(Trainer, "step", explode(1, 6))
    made.run()
    assert seen.rewinds == [0, 6]
    assert seen.steps == list(range(16))
