"""The learning rate over a whole training."""

from __future__ import annotations

import itertools
import math

import pytest

from so8t.build.model.schedule import learning_rate
from so8t.core.config import SwaConfig

OFF = SwaConfig(enabled=False)


def rates(steps: int, warmup: float, swa: SwaConfig) -> list[float]:
    return [learning_rate(s, steps, 1.0, warmup, swa) for s in range(steps)]


def test_warm_up_is_linear_and_ends_at_the_peak() -> None:
    found = rates(100, 0.1, OFF)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(found) == pytest.approx(1.0)
    assert found[0] > 0  # the first step is not wasted


def test_cosine_falls_to_zero() -> None:
    found = rates(100, 0.1, OFF)
    assert found[55] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))
    assert 0 < found[-1] < 1e-3
    assert found[30] == pytest.approx(0.5 * (1 + math.cos(math.pi * 20 / 90)))


def test_rate_is_held_in_the_swa_window() -> None:
    found = rates(100, 0.1, SwaConfig(start=0.75, learning_rate=0.3))
    assert found[75:] == [0.3] * 25
    assert found[:75] == rates(100, 0.1, OFF)[:75]


def test_cosine_goes_on_when_asked() -> None:
    assert rates(40, 0.1, SwaConfig(schedule="cosine")) == rates(40, 0.1, OFF)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_very_short_trainings_have_a_rate(steps: int, warmup: float) -> None:
    assert all(0 <= r <= 1 and math.isfinite(r) for r in rates(steps, warmup, SwaConfig()))
    assert rates(steps, warmup, OFF)[0] > 0
