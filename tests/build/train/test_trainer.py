"""The training loop: accumulation changes nothing, kill and resume changes nothing, divergence is said."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from so8t.build.model.losses import IGNORE
from so8t.build.model.recompute import recompute_layers
from so8t.build.model.rotation import Rotations
from so8t.build.train import checkpoint, trainer
from so8t.build.train.history import StepFacts
from so8t.build.train.stop import StoppedByUser
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, PetConfig, SwaConfig
from so8t.core.errors import CheckpointBroken, TrainingDiverged
from so8t.core.progress import Progress

from .training_case import FULL, PLAIN, history, kill_after, rows, same, weights


@pytest.mark.parametrize("length", [None, 12])
def test_accumulation_changes_nothing(build: Callable[..., Trainer], length: int | None) -> None:
    """4 x 1, 2 x 2 and 1 x 4 over the same four samples; of unequal length too, where a mean of means would differ."""
    # PET is a mean over each micro-batch, so it is the same only for equal lengths.
    # epsilon keeps AdamW from blowing rounding errors of vanishing gradients up to whole steps.
    pet = PetConfig(enabled=length is not None, lambdas=(0.1, 0.2, 0.3))
    base = dataclasses.replace(PLAIN, epochs=4.0, epsilon=1e-3, pet=pet)
    data, results, losses = rows(4, length), [], []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        config = dataclasses.replace(base, batch_size=batch, accumulation=accumulation)
        made = build(config, data, f"work-{batch}")
        assert made.steps == 4
        losses.append([made.step(s) for s in range(4)])
        results.append(weights(made))
    start = weights(build(base, data, "start"))
    for other, found in zip(losses[1:], results[1:], strict=True):
        for name in found:
            assert (results[0][name] - start[name]).abs().max() > 1e-4
            assert torch.allclose(found[name], results[0][name], atol=1e-5), name
        for a, b in zip(other, losses[0], strict=True):
            assert a.loss == pytest.approx(b.loss, abs=1e-5)
            assert a.pet == pytest.approx(b.pet, abs=1e-5)
            assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-4)


def test_training_learns_the_answers(build: Callable[..., Trainer]) -> None:
    data = rows(4, 10)
    made = build(
        dataclasses.replace(PLAIN, epochs=40.0, learning_rate=2e-2, pet=PetConfig(enabled=False)), data, strength=0.0
    )
    made.run()
    found = history(made)
    assert found[-1]["loss"] < 0.7 * found[0]["loss"]
    assert torch.isfinite(torch.tensor([r["loss"] for r in found])).all()
    assert weights(made)["rotations.skew"].abs().max() > 1e-3  # the gates learn too


def test_prompt_labels_get_no_gradient(build: Callable[..., Trainer]) -> None:
    """Whatever the masked positions would have been, the trained parameters get the same gradients."""
    made = build(dataclasses.replace(PLAIN, pet=PetConfig(enabled=False)), rows(4, 12, prompt=6))
    batch = made.batches.collate(made.batches.numbers(0))
    logits: list[torch.Tensor] = []

    def keep(_m: object, _i: object, output: torch.Tensor) -> None:
        logits.append(output)
        output.retain_grad()

    hidden: list[torch.Tensor] = []
    original = made.model.hidden

    def spy(*args: Any, **named: Any) -> torch.Tensor:
        hidden.append(original(*args, **named))
        hidden[-1].retain_grad()
        return hidden[-1]

    made.model = type(
        "Spy", (), {"hidden": staticmethod(spy), "causal": made.model.causal, "parameters": made.model.parameters}
    )()
    made.losses(batch)[0].backward()
    gradient = hidden[0].grad
    assert gradient is not None
    moved = gradient.abs().amax((0, 2)) > 0
    assert moved.tolist() == [False] * 5 + [True] * 6 + [False]


def test_pet_and_its_weight_reach_the_gradient(build: Callable[..., Trainer]) -> None:
    heavy = dataclasses.replace(PLAIN, epochs=1.0, pet=PetConfig(lambdas=(1.0, 1.0, 1.0)))
    light = dataclasses.replace(heavy, pet=PetConfig(lambdas=(0.0, 0.0, 0.0)))
    a, b = (build(c, rows(4, 12), w) for c, w in ((heavy, "a"), (light, "b")))
    first, second = a.step(0), b.step(0)
    assert first.loss == second.loss and first.pet == second.pet > 0
    assert first.pet_weight == 1.0 and second.pet_weight == 0.0
    assert first.gradient_norm != second.gradient_norm


def test_clip_limits_the_step(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def measure(parameters: Any, *_: Any) -> None:
        seen.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    monkeypatch.setattr(trainer, "add_noise", measure)  # what comes after clipping
    made = build(dataclasses.replace(PLAIN, clip=1e-3), rows(4))
    assert made.step(0).gradient_norm > 1e-2
    assert seen[0] == pytest.approx(1e-3, rel=1e-3)


def test_gate_rate_factor(build: Callable[..., Trainer]) -> None:
    gate = dataclasses.replace(PLAIN.gate, learning_rate_factor=0.0)
    made = build(dataclasses.replace(PLAIN, gate=gate, weight_decay=0.0), rows(4))
    before = weights(made)
    made.step(0)
    after = weights(made)
    assert torch.equal(before["rotations.skew"], after["rotations.skew"])
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_base_weights_never_move(build: Callable[..., Trainer]) -> None:
    made = build(PLAIN, rows(8))
    frozen = {n: p.detach().clone() for n, p in made.model.peft.named_parameters() if not p.requires_grad}
    made.run()
    assert len(frozen) > 10
    assert all(torch.equal(frozen[n], p) for n, p in made.model.peft.named_parameters() if n in frozen)


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_resume_is_bit_for_bit(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Dropout, noise, SWA (from step 3 of 7), PET phases and accumulation across an epoch's border included."""
    whole = build(FULL, rows(13), "whole")
    assert whole.steps == 6 + (whole.steps == 7)
    facts = whole.run()
    assert whole.average.count > 0
    kill_after(build(FULL, rows(13), "parts"), min(at, whole.steps - 1), monkeypatch)
    resumed = build(FULL, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


def test_resume_from_an_older_checkpoint_redoes_the_steps_between(
    build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is torn, the one before it too: two steps are made again, their records not twice."""
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    first = build(FULL, rows(13), "parts")
    kill_after(first, 5, monkeypatch)
    saved = sorted(first.work.glob("step-*"))
    assert [p.name[-1] for p in saved] == ["0", "1", "2", "3", "4", "5"]
    weights_file = saved[-1] / "parameters.safetensors"
    content = bytearray(weights_file.read_bytes())
    content[len(content) // 2] ^= 1
    weights_file.write_bytes(content)
    (saved[-2] / "optimizer.pt").unlink()
    resumed = build(FULL, rows(13), "parts")
    stream = io.StringIO()
    resumed.progress = Progress(stream=stream)
    same(resumed, whole, resumed.run(), facts)
    assert stream.getvalue().count("M04") == 2  # said, not hidden
    assert "3" in stream.getvalue()


def test_killed_twice_and_with_a_torn_history(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    kill_after(build(FULL, rows(13), "parts"), 2, monkeypatch)
    with (whole.work.parent / "parts" / "history.jsonl").open("a") as f:
        f.write('{"step": 2, "lo')
    kill_after(build(FULL, rows(13), "parts"), 4, monkeypatch)
    resumed = build(FULL, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


def test_finished_training_is_not_repeated(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(FULL, rows(13), "whole")
    facts = whole.run()
    again = build(FULL, rows(13), "whole")
    monkeypatch.setattr(Trainer, "step", None)  # nothing may be trained
    assert again.run() == facts
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(again).values(), strict=True))


def test_stop_request_finishes_the_step_saves_and_resumes(
    build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = dataclasses.replace(FULL, checkpoint=CheckpointConfig(seconds=1e9, keep=5))
    whole = build(rare, rows(13), "whole")
    facts = whole.run()
    stopped = build(rare, rows(13), "parts")
    original = Trainer.step

    def press_ctrl_c(self: Trainer, number: int, stop: bool = False) -> StepFacts:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            stop = True  # the handler has run
        return original(self, number, stop)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", press_ctrl_c)
        with pytest.raises(StoppedByUser):
            stopped.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert sorted(p.name for p in stopped.work.glob("step-*")) == ["step-00000000", "step-00000003"]
    resumed = build(rare, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)


def test_second_ctrl_c_interrupts_at_once(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(PLAIN, rows(8))

    def press_twice(_self: Trainer, _number: int, _stop: bool = False) -> StepFacts:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    monkeypatch.setattr(Trainer, "step", press_twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        made.run()
    assert not isinstance(caught.value, StoppedByUser)


def test_only_keep_checkpoints_stay(build: Callable[..., Trainer]) -> None:
    made = build(dataclasses.replace(FULL, checkpoint=CheckpointConfig(seconds=0.0, keep=2)), rows(13))
    made.run()
    assert [int(p.name[5:]) for p in sorted(made.work.glob("step-*"))] == [made.steps - 1, made.steps]


def test_checkpoint_of_other_data_is_refused(build: Callable[..., Trainer]) -> None:
    build(FULL, rows(13)).run()
    with pytest.raises(CheckpointBroken):
        build(FULL, rows(40)).run()
    with pytest.raises(CheckpointBroken):
        build(FULL, rows(13), gate=False).run()


def test_nan_loss_is_divergence(build: Callable[..., Trainer]) -> None:
    made = build(PLAIN, rows(8))
    with torch.no_grad():
        next(p for n, p in made.model.parameters().items() if "lora_A" in n)[0, 0] = float("nan")
    before = weights(made)
    with pytest.raises(TrainingDiverged) as caught:
        made.run()
    assert "step 0" in caught.value.where
    after = weights(made)
    assert all(torch.equal(before[n].nan_to_num(7), after[n].nan_to_num(7)) for n in before)  # no step was taken
    assert [p.name for p in made.work.glob("step-*")] == ["step-00000000"]  # and none saved but the beginning


def test_infinite_gradient_is_divergence(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(PLAIN, rows(8))

    def overflow(self: Rotations) -> None:
        self.skew.grad = torch.full_like(self.skew, float("inf"))

    monkeypatch.setattr(Rotations, "pull_gradients", overflow)
    with pytest.raises(TrainingDiverged):
        made.step(0)


def test_average_is_chosen_when_it_is_better(build: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(PLAIN, epochs=3.0, swa=SwaConfig(start=0.0, learning_rate=5e-3))
    for better in (True, False):
        made = build(config, rows(8), f"work-{better}")
        answers = iter([2.0, 1.0 if better else 3.0])
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "validation_loss", lambda self, answers=answers: next(answers))
            facts = made.run()
        assert facts["weights"] == ("average" if better else "last")
        equal = all(torch.equal(w, made.average.mean[n]) for n, w in weights(made).items())
        assert equal == better
        assert facts["orthogonality_error"] < 1e-12


def test_validation_loss_is_plain_cross_entropy(build: Callable[..., Trainer]) -> None:
    made = build(dataclasses.replace(PLAIN, dropout=0.3), rows(4))
    total, count = 0.0, 0
    made.model.train(False)
    with torch.no_grad():
        for row in made.validation:
            logits = made.model.peft(torch.tensor([row.ids])).logits[0, :-1].log_softmax(-1)
            for position, label in enumerate(row.labels[1:]):
                if label != IGNORE:
                    total, count = total - float(logits[position, label]), count + 1
    assert made.validation_loss() == pytest.approx(total / count, rel=1e-5)
    assert made.model.peft.training  # and training goes on


@pytest.mark.parametrize("kind", ["none", "int8"])  # int8 takes the reentrant form
def test_gradient_checkpointing_changes_nothing(build: Callable[..., Trainer], kind: Any) -> None:
    """Gates and LoRA are no inputs of a layer: their gradients come all the same. With dropout, drawn again alike."""
    config = dataclasses.replace(PLAIN, dropout=0.2)
    plain, recomputed = build(config, rows(8), "a"), build(config, rows(8), "b")
    causal = recomputed.model.causal
    recompute_layers(causal, kind)
    for made in (plain, recomputed):
        made.model.train()
        for step in range(2):
            made.step(step)
    a, b = weights(plain), weights(recomputed)
    assert causal.model.layers[0].gradient_checkpointing
    assert all(torch.allclose(a[n], b[n], atol=1e-6) for n in a)


def test_work_folder_holds_checkpoints_a_reader_understands(build: Callable[..., Trainer]) -> None:
    made = build(FULL, rows(13))
    made.run()
    state, broken = checkpoint.newest(made.work)
    assert state is not None and not broken
    assert state.step == made.steps
    assert set(state.parameters) == set(made.model.parameters())
    assert state.average_count == made.average.count
    shutil.rmtree(made.work)
