"""What counts as gone wrong, and which remedy of the plan is named for it."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.train.divergence import LEAST, Watch, advice
from so8t.core.config import RecoveryConfig, TrainConfig
from so8t.core.errors import TrainingDiverged

CONFIG = RecoveryConfig(spike=3.0, window=20)
TRAIN = TrainConfig(recovery=CONFIG)


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf)])
def test_what_is_no_number_diverges_at_once(loss: float, norm: float) -> None:
    with pytest.raises(TrainingDiverged) as caught:
        Watch(CONFIG).check(7, loss, norm)
    assert "step 7" in caught.value.where


def watch(losses: list[float]) -> Watch:
    made = Watch(CONFIG)
    for step, loss in enumerate(losses):
        made.check(step, loss, 1.0)
    return made


def test_a_spike_is_measured_against_the_median() -> None:
    made = watch([2.0] * LEAST)
    made.check(10, 5.9, 1.0)
    with pytest.raises(TrainingDiverged):
        made.check(11, 6.1, 1.0)
    made.check(12, 2.0, 1.0)  # what was refused is not remembered


def test_small_noisy_losses_are_no_spikes() -> None:
    made = watch([0.01] * LEAST)
    made.check(10, 0.9, 1.0)
    with pytest.raises(TrainingDiverged):
        made.check(11, 1.1, 1.0)


def test_the_first_steps_have_nothing_to_be_compared_with() -> None:
    watch([1.0] * (LEAST - 1)).check(9, 50.0, 1.0)


@given(losses=st.lists(st.floats(0.5, 1.4), min_size=1, max_size=80))
def test_restart_from_the_record_knows_what_an_uninterrupted_watch_knows(losses: list[float]) -> None:
    whole, resumed = watch(losses), Watch(CONFIG)
    resumed.restart(losses)
    answers = []
    for made in (whole, resumed):
        try:
            made.check(len(losses), 3.2, 1.0)
            answers.append(True)
        except TrainingDiverged:
            answers.append(False)
    assert answers[0] == answers[1]


def noisy(level: float, count: int, spread: float = 0.01) -> list[float]:
    generator = random.Random(3)
    return [level + generator.uniform(-spread, spread) for _ in range(count)]


def test_a_falling_loss_needs_no_advice() -> None:
    assert advice([3.0 - 0.02 * i for i in range(40)], [0.0] * 40, TRAIN) is None
    assert advice(noisy(2.0, 39), [0.0] * 39, TRAIN) is None  # not two windows yet


def test_no_progress_is_told_with_rate_and_warmup() -> None:
    found = advice(noisy(2.0, 40), [0.01] * 40, TRAIN)
    assert found is not None and found.kind == "no-progress"
    assert "warmup = 0.2" in found.en and "0.2" in found.ja


def test_a_heavy_pet_is_blamed_first() -> None:
    found = advice(noisy(2.0, 40), [1.0] * 40, TRAIN)
    assert found is not None and found.kind == "pet"
    assert "[0.0005, 0.0025, 0.005]" in found.en and found.en.count("50%") == 1


def test_oscillation_is_told_with_the_clip() -> None:
    found = advice([1.0, 4.0] * 20, [0.0] * 40, dataclasses.replace(TRAIN, clip=1.0))
    assert found is not None and found.kind == "oscillation"
    assert "train.clip = 0.5" in found.en and "train.learning_rate = 0.0001" in found.ja
