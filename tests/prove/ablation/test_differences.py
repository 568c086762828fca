"""Paired differences: the t distribution against its printed tables, intervals that keep their word, Holm's law."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from so8t.prove.ablation.differences import Estimate, holm, paired
from so8t.prove.ablation.student import critical, two_sided

# Two-sided 5 % points as any table prints them.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 60: 2.000, 120: 1.980}
VALUES = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(("freedom", "t"), TABLE.items())
def test_the_printed_table(freedom: int, t: float) -> None:
    assert critical(freedom) == pytest.approx(t, abs=6e-4)
    assert two_sided(critical(freedom), freedom) == pytest.approx(0.05, abs=1e-9)
    assert two_sided(-t, freedom) == two_sided(t, freedom)


def test_other_points_of_the_table() -> None:
    assert critical(2, 0.01) == pytest.approx(9.925, abs=6e-4)
    assert two_sided(1.0, 1) == pytest.approx(0.5)  # the Cauchy distribution
    assert two_sided(0.0, 7) == 1.0 and two_sided(1e9, 3) < 1e-9


def test_no_degrees_of_freedom() -> None:
    with pytest.raises(ValueError, match="0"):
        two_sided(1.0, 0)


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.integers(1, 200))
def test_further_out_is_less_likely(a: float, b: float, freedom: int) -> None:
    low, high = sorted((a, b))
    assert 0 <= two_sided(high, freedom) <= two_sided(low, freedom) + 1e-12 <= 1 + 1e-12


def test_a_worked_example() -> None:
    """Differences 1, 2, 3: mean 2, standard error 0.5774, t = 3.464, p = 0.0742 with two degrees of freedom."""
    found = paired([1.0, 2.0, 3.0])
    assert found.mean == 2.0 and found.n == 3
    assert found.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert found.p == pytest.approx(0.0742, abs=1e-4) and not found.excludes_zero


@given(st.lists(VALUES, min_size=2, max_size=12))
def test_the_interval_excludes_zero_just_when_p_is_small(values: list[float]) -> None:
    found = paired(values)
    assume(found.p is not None and abs(found.p - 0.05) > 1e-6)
    assert found.excludes_zero == (found.p is not None and found.p < 0.05)


@given(st.lists(VALUES, min_size=2, max_size=12))
def test_turning_the_sign_turns_the_interval(values: list[float]) -> None:
    found, turned = paired(values), paired([-v for v in values])
    assert turned.mean == pytest.approx(-found.mean)
    assert (turned.low is None) == (found.low is None)
    if found.low is not None and found.high is not None:
        assert turned.low == pytest.approx(-found.high) and turned.high == pytest.approx(-found.low)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(8)
    held = 0
    for _ in range(2000):
        found = paired([rng.gauss(0.3, 1.0) for _ in range(3)])
        assert found.low is not None and found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 0.935 < held / 2000 < 0.965


def test_what_has_no_interval() -> None:
    assert paired([0.5]) == Estimate(0.5, 1)
    assert paired([0.1, 0.1, 0.1]).p is None  # no spread: nothing is known of it
    assert paired([0.3 - 0.2, 0.1, 0.1 + 1e-17]).p is None
    assert paired([0.0, 0.0, 0.0]) == Estimate(0.0, 3, 0.0, 0.0, 1.0)
    for bad in ([], [math.nan], [1.0, math.inf]):
        with pytest.raises(ValueError, match="differences"):
            paired(bad)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.2]) == [0.2]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_never_beyond_bonferroni_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    for p, q in zip(values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(values) * p) + 1e-12
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
