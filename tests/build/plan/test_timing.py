"""Four measured steps -> seconds of any step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.plan.timing import ACCUMULATIONS, THIN, duration, solve
from so8t.build.plan.workload import Workload

seconds = st.floats(0, 100)


def measured(micro: float, layer: float, step: float, step_layer: float) -> dict[tuple[int, int], float]:
    return {(n, a): a * (micro + n * layer) + step + n * step_layer for n in THIN for a in ACCUMULATIONS}


@given(seconds, seconds, seconds, seconds, st.integers(1, 64), st.integers(1, 32))
def test_what_was_put_in_comes_out(m: float, ml: float, s: float, sl: float, layers: int, accumulation: int) -> None:
    found = solve(measured(m, ml, s, sl), 512, "cpu")
    expected = accumulation * (m + layers * ml) + s + layers * sl
    assert found.seconds(layers, accumulation, 512) == pytest.approx(expected, abs=1e-9)
    assert found.seconds(layers, accumulation, 1024) == pytest.approx(
        expected + accumulation * (m + layers * ml), abs=1e-9
    )


@given(st.fixed_dictionaries({(n, a): st.floats(0, 10) for n in THIN for a in ACCUMULATIONS}))
def test_noise_never_makes_time_run_backwards(found: dict[tuple[int, int], float]) -> None:
    timing = solve(found, 1, "cpu")
    assert min(timing.micro, timing.micro_layer, timing.step, timing.step_layer) >= 0


def test_hours_and_checkpoints() -> None:
    timing = solve(measured(1.0, 0.25, 2.0, 0.0), 100, "cpu")
    work = Workload(samples=1000, steps=600, tokens_per_step=200)  # two micro-batches of 100
    found = duration(timing, work, layers=4, accumulation=2, interval=180)
    assert found.seconds_per_step == pytest.approx(6.0)
    assert found.tokens_per_second == pytest.approx(200 / 6)
    assert found.hours == pytest.approx(1.0) and found.checkpoints == 21
    assert duration(timing, work, 4, 2, interval=0).checkpoints == 600
