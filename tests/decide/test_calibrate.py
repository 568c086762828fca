"""Temperatures, calibration errors and bins against figures one can work out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import BundleBroken
from so8t.core.types import DECISIONS, Decision
from so8t.decide.allow_limit import fit_allow_limit
from so8t.decide.calibrate import (
    BINS,
    PLAN_GRID,
    Calibration,
    as_probabilities,
    brier,
    calibration_error,
    ece,
    fit_pool,
    fit_temperature,
    nll,
    plan_grid_temperature,
    pooled,
    reliability,
    softmax,
)


def drawn(n: int, temperature: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels drawn from softmax(scores / temperature): that temperature is the true one."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 3, (n, 3))
    probabilities = softmax(scores, temperature)
    labels = np.array([generator.choice(3, p=p) for p in probabilities], dtype=np.int64)
    return scores, labels


def test_softmax_by_hand() -> None:
    row = softmax(np.array([0.0, math.log(2), math.log(5)]))
    assert row == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert softmax(np.array([0.0, math.log(4), 0.0]), 2.0) == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    assert softmax(np.array([1000.0, 0.0, -1e9])) == pytest.approx([1, 0, 0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.floats(0.05, 50))
def test_softmax_is_a_distribution_in_the_order_of_the_scores(scores: list[float], temperature: float) -> None:
    p = softmax(np.array(scores), temperature)
    assert p.sum() == pytest.approx(1) and (p >= 0).all()
    assert p[int(np.argmax(scores))] == p.max()


def test_as_probabilities_names_the_labels() -> None:
    assert as_probabilities([0.1, 0.2, 0.7]) == dict(zip(DECISIONS, (0.1, 0.2, 0.7), strict=True))
    with pytest.raises(ValueError):
        as_probabilities([0.5, 0.5])


def test_nll_and_brier_by_hand() -> None:
    p, labels = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), np.array([0, 1])
    assert nll(p, labels) == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert brier(p, labels) == pytest.approx(((0.25 + 0.0625 + 0.0625) + (0.01 + 0.81 + 0.64)) / 2)
    assert brier(np.eye(3)[[0, 1]], np.array([0, 1])) == 0.0
    assert brier(np.eye(3)[[1, 0]], np.array([0, 1])) == 2.0
    assert math.isfinite(nll(np.eye(3)[[1]], np.array([0])))


@pytest.mark.parametrize("true", [0.25, 0.7, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_found(true: float) -> None:
    scores, labels = drawn(8000, true)
    assert fit_temperature(scores, labels) == pytest.approx(true, rel=0.08)


def test_the_fit_is_the_best_of_a_fine_grid() -> None:
    scores, labels = drawn(300, 1.7)
    found = nll(softmax(scores, fit_temperature(scores, labels)), labels)
    assert all(found <= nll(softmax(scores, t), labels) + 1e-9 for t in np.geomspace(0.05, 50, 400))


def test_extremes_stay_inside_the_bounds() -> None:
    scores = np.array([[9.0, 0.0, 0.0]] * 10)
    assert 0.05 <= fit_temperature(scores, np.zeros(10, np.int64)) < 0.06  # always right: as sharp as allowed
    assert 49 < fit_temperature(scores, np.ones(10, np.int64)) <= 50.0001  # always wrong: as flat as allowed
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0


def test_two_models_are_weighed_as_they_were_made() -> None:
    """Labels drawn from a pool of two: both temperatures come back, and the pool is better than either alone."""
    generator = np.random.default_rng(5)
    parts = generator.normal(0, 3, (6000, 2, 3))
    labels = np.array([generator.choice(3, p=p) for p in softmax(pooled(parts, [3.0, 1.5]))])
    found = fit_pool(parts, labels)
    assert found == pytest.approx((3.0, 1.5), rel=0.1)
    together = nll(softmax(pooled(parts, found)), labels)
    assert all(together < nll(softmax(parts[:, k], fit_temperature(parts[:, k], labels)), labels) for k in (0, 1))


def test_a_model_that_knows_nothing_is_silenced() -> None:
    scores, labels = drawn(3000, 2.0)
    noise = np.random.default_rng(77).normal(0, 3, scores.shape)
    kept, silenced = fit_pool(np.stack([scores, noise], axis=1), labels)
    assert kept == pytest.approx(2.0, rel=0.1) and silenced > 20


def test_a_pool_of_one_is_temperature_scaling() -> None:
    scores, labels = drawn(500, 1.7)
    assert fit_pool(scores[:, None], labels) == pytest.approx((fit_temperature(scores, labels),))
    assert fit_pool(np.zeros((0, 2, 3)), np.zeros(0, np.int64)) == (1.0, 1.0)
    assert pooled(scores[:, None], [2.0]) == pytest.approx(scores / 2)


def test_the_plans_grid() -> None:
    assert len(PLAN_GRID) == 50 and PLAN_GRID[0] == 0.5 and PLAN_GRID[-1] == 3.0
    assert np.diff(PLAN_GRID) == pytest.approx(2.5 / 49)
    for true in (0.1, 1.5, 10.0):
        scores, labels = drawn(2000, true)
        found = plan_grid_temperature(scores, labels)
        assert found in PLAN_GRID
        errors = [calibration_error(softmax(scores, t), labels) for t in PLAN_GRID]
        assert calibration_error(softmax(scores, found), labels) == min(errors)
    assert plan_grid_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0


def test_a_perfectly_calibrated_set_has_a_small_error() -> None:
    scores, labels = drawn(20_000, 1.0)
    for equal_mass in (False, True):
        assert calibration_error(softmax(scores), labels, equal_mass=equal_mass) < 0.015
        assert calibration_error(softmax(scores, 0.2), labels, equal_mass=equal_mass) > 0.1


def test_ece_by_hand() -> None:
    """Four at 0.95 of which three are right, one at 0.55 that is right."""
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55])
    correct = np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    bins = reliability(confidence, correct)
    assert [(b.n, b.accuracy) for b in bins] == [(1, 1.0), (4, 0.75)]
    assert [(b.low, b.high) for b in bins] == [pytest.approx((0.5, 0.6)), pytest.approx((0.9, 1.0))]
    assert ece(bins) == pytest.approx((0.45 * 1 + 0.2 * 4) / 5)
    assert ece([]) == 0.0


def test_edges_belong_to_the_bin_below() -> None:
    bins = reliability(np.array([0.0, 0.1, 0.5, 1.0]), np.ones(4))
    assert [round(b.high, 1) for b in bins] == [0.1, 0.5, 1.0] and [b.n for b in bins] == [2, 1, 1]


def test_bins_of_equal_width_and_of_equal_mass() -> None:
    generator = np.random.default_rng(1)
    confidence, correct = 1 - generator.random(1000) ** 3 * 0.66, np.ones(1000)
    width = reliability(confidence, correct)
    assert all(b.high - b.low == pytest.approx(1 / BINS) for b in width)
    assert max(b.n for b in width) > 2 * min(b.n for b in width)
    mass = reliability(confidence, correct, equal_mass=True)
    assert len(mass) == BINS and {b.n for b in mass} == {100}
    assert sum(b.n for b in width) == 1000


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.booleans())
def test_no_sample_is_lost(confidence: list[float], equal_mass: bool) -> None:
    bins = reliability(np.array(confidence), np.ones(len(confidence)), equal_mass=equal_mass)
    assert sum(b.n for b in bins) == len(confidence)
    assert 0 <= ece(bins) <= 1


def test_calibration_round_trip_and_refusal() -> None:
    made = Calibration(1.5, 3.0, 0.7, 2.0, fit_allow_limit({"a": 0.2, "b": 0.1}, 9, 0.5))
    assert Calibration.from_json(made.to_json()) == made
    good = made.to_json()
    limits = [good["allow"] | {"below": float("nan")}, good["allow"] | {"below": -1}, {}, None]
    for bad in ({"temperature": 0}, {"temperature": -1}, {"fusion_temperature": float("nan")}, {"temperature": "x"},
                {"temperature_plan_grid": float("inf")}, {"temperature": None}, {"temperature": [1]},
                {"wording_temperature": 0}, *({"allow": limit} for limit in limits)):  # fmt: skip
        with pytest.raises(BundleBroken):
            Calibration.from_json(good | bad)
    with pytest.raises(BundleBroken):
        Calibration.from_json({"temperature": 1.0})
    assert Decision.ALLOW in as_probabilities([1, 0, 0])
