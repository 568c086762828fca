"""What the tests of the trainer share: two configurations, random rows, a death in the middle, a comparison."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
import torch

from so8t.build.model.losses import IGNORE
from so8t.build.train.dataset import Encoded
from so8t.build.train.history import StepFacts
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, LoraConfig, NoiseConfig, PetConfig, SwaConfig, TrainConfig

PLAIN = TrainConfig(
    epochs=2.0, batch_size=4, accumulation=1, learning_rate=5e-3, dropout=0.0, label_smoothing=0.1, seed=3,
    lora=LoraConfig(rank=4, alpha=8, dropout=0.0), noise=NoiseConfig(sigma=0.0), swa=SwaConfig(enabled=False),
    pet=PetConfig(lambdas=(0.1, 0.2, 0.3)), checkpoint=CheckpointConfig(seconds=1e9),
)  # fmt: skip
# Everything that has state: dropout's random numbers, noise, the average, PET phases, an unfinished accumulation.
FULL = dataclasses.replace(
    PLAIN, epochs=2.5, batch_size=2, accumulation=3, noise=NoiseConfig(sigma=0.1),
    swa=SwaConfig(start=0.4, learning_rate=1e-3), dropout=0.2, checkpoint=CheckpointConfig(seconds=0.0, keep=100),
)  # fmt: skip


def rows(count: int, length: int | None = None, prompt: int = 3) -> list[Encoded]:
    generator = random.Random(1)
    made = []
    for _ in range(count):
        n = length or generator.randrange(8, 20)
        ids = tuple(generator.randrange(1, 500) for _ in range(n))
        labels = (IGNORE,) * prompt + ids[prompt:]
        made.append(Encoded(ids, labels, (0.0,) * prompt + (8.0,) + (1.0,) * (n - prompt - 1)))
    return made


def weights(made: Trainer) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in made.model.parameters().items()}


def history(made: Trainer) -> list[dict[str, float]]:
    return [json.loads(line) for line in (made.work / "history.jsonl").read_text().splitlines()]


class Killed(BaseException):
    """What a process is when it dies: nothing catches it."""


def kill_after(made: Trainer, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as far as `step` whole steps, then die as a process would."""
    original = Trainer.step

    def step_or_die(self: Trainer, number: int, stop: bool = False) -> StepFacts:
        if number == step:
            raise Killed
        return original(self, number, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step_or_die)
        with pytest.raises(Killed):
            made.run()


def same(ours: Trainer, theirs: Trainer, facts: Any, other_facts: Any) -> None:
    assert facts == other_facts
    assert history(ours) == history(theirs)
    a, b = weights(ours), weights(theirs)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert ours.average.count == theirs.average.count
    assert all(torch.equal(ours.average.mean[n], theirs.average.mean[n]) for n in ours.average.mean)
