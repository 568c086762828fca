"""Temperatures from a user's file: recovered from scores that were made with them, and never judged on themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from so8t.decide.calibrate import Calibration, fit_temperature, softmax
from so8t.prove.recalibrate import FOLDS, cross_fitted, report


def drawn(count: int, temperature: float, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 3, (count, 3))
    return scores, np.array([generator.choice(3, p=p) for p in softmax(scores, temperature)])


def test_every_request_is_measured_by_a_temperature_that_never_saw_its_family() -> None:
    scores, labels = drawn(60, 2.0)
    families = [f"f{n // 3}" for n in range(60)]
    spread, folds = cross_fitted(scores[:, None], labels, families)
    assert folds == FOLDS and spread.shape == (60, 1) and len(set(spread[:, 0])) == FOLDS
    for temperature in set(spread[:, 0]):
        inside = spread[:, 0] == temperature
        assert temperature == pytest.approx(fit_temperature(scores[~inside], labels[~inside]))
        assert not {f for f, i in zip(families, inside, strict=True) if i} & {
            f for f, i in zip(families, inside, strict=True) if not i
        }


def test_one_family_cannot_be_split_and_it_is_said() -> None:
    scores, labels = drawn(20, 2.0)
    spread, folds = cross_fitted(scores[:, None], labels, ["one"] * 20)
    assert folds == 0 and spread[:, 0] == pytest.approx(np.full(20, fit_temperature(scores, labels)))


def test_the_report_shows_before_after_and_the_plan_s_grid() -> None:
    scores, labels = drawn(800, 2.0)
    fitted = Calibration(fit_temperature(scores, labels), 1.0, 1.1, 2.0)
    found = report(scores[:, None], labels, [str(n) for n in range(800)], Calibration(0.5), fitted)
    assert found["temperature"] == {"before": 0.5, "after": fitted.temperature}
    assert fitted.temperature == pytest.approx(2.0, rel=0.25)
    assert found["after"]["nll"] < found["before"]["nll"] and found["after"]["ece"] < found["before"]["ece"]
    grid = found["plan_grid"]["ece"]
    assert len(grid) == 50 and (grid[0][0], grid[-1][0]) == (0.5, 3.0)
    best = min(error for _, error in grid)
    assert found["plan_grid"]["temperature"] in [t for t, error in grid if error == best]
    json.dumps(found, allow_nan=False)


def test_a_useless_fit_is_not_flattered() -> None:
    """Labels that have nothing to do with the scores: cross-fitted, no better than the raw scores made harmless."""
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(0, 3, (40, 3)), generator.integers(0, 3, 40)
    found = report(scores[:, None], labels, [str(n) for n in range(40)], Calibration(), Calibration())
    assert found["after"]["nll"] >= np.log(3) - 0.05
