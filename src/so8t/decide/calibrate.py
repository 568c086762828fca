"""Scores -> probabilities that mean what they say (arXiv 1706.04599, plan 5.4 "温度較正")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.types import DECISIONS, Decision

Array = NDArray[np.float64]
PLAN_GRID = np.linspace(0.5, 3.0, 50)
BINS = 10
_LOW, _HIGH = math.log(0.05), math.log(50.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperatures of one quantisation: of the model's scores, of the fused opinions, by the plan's grid."""

    temperature: float = 1.0
    fusion_temperature: float = 1.0
    temperature_plan_grid: float = 1.0

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Calibration:
        """Raises BundleBroken unless all three are positive numbers."""
        try:
            made = cls(*(float(record[name]) for name in cls.__slots__))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleBroken(detail=f"calibration: {error}") from error
        if not all(math.isfinite(v) and v > 0 for v in asdict(made).values()):
            raise BundleBroken(detail="calibration: temperature")
        return made


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def softmax(scores: Array, temperature: float = 1.0) -> Array:
    """[..., k] -> probabilities along the last axis."""
    shifted = np.asarray(scores, np.float64) / temperature
    shifted = np.exp(shifted - shifted.max(-1, keepdims=True))
    result: Array = shifted / shifted.sum(-1, keepdims=True)
    return result


def as_probabilities(row: Sequence[float] | Array) -> dict[Decision, float]:
    return {d: float(p) for d, p in zip(DECISIONS, row, strict=True)}


def nll(probabilities: Array, labels: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-12, 1.0)).mean())


def brier(probabilities: Array, labels: NDArray[np.int64]) -> float:
    """Mean squared distance to the one-hot label (0 best, 2 worst)."""
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(1).mean())


def fit_temperature(scores: Array, labels: NDArray[np.int64]) -> float:
    """The temperature of least NLL in [0.05, 50], by golden section over its logarithm; 1 without data."""
    if not len(labels):
        return 1.0

    def loss(log_t: float) -> float:
        return nll(softmax(scores, math.exp(log_t)), labels)

    ratio = (math.sqrt(5) - 1) / 2
    low, high = _LOW, _HIGH
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if loss(a) <= loss(b):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def plan_grid_temperature(scores: Array, labels: NDArray[np.int64]) -> float:
    """The plan's search: 50 temperatures from 0.5 to 3.0, the one of least ECE."""
    if not len(labels):
        return 1.0
    errors = [calibration_error(softmax(scores, t), labels) for t in PLAN_GRID]
    return float(PLAN_GRID[int(np.argmin(errors))])


def calibration_error(probabilities: Array, labels: NDArray[np.int64], *, equal_mass: bool = False) -> float:
    """Expected calibration error of the most likely class (plan 5.4)."""
    confidence, correct = probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)
    return ece(reliability(confidence, correct, equal_mass=equal_mass))


def reliability(confidence: Array, correct: Array, *, equal_mass: bool = False) -> list[Bin]:
    """BINS bins of equal width, or of equal numbers; empty ones are left out."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    if equal_mass and len(confidence):
        edges = np.concatenate([[0.0], np.quantile(confidence, np.linspace(0, 1, BINS + 1)[1:-1]), [1.0]])
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    bins = []
    for i in range(BINS):
        inside = place == i
        if n := int(inside.sum()):
            mean, share = float(confidence[inside].mean()), float(correct[inside].mean())
            bins.append(Bin(float(edges[i]), float(edges[i + 1]), n, mean, share))
    return bins


def ece(bins: Sequence[Bin]) -> float:
    """Weighted mean gap between confidence and accuracy."""
    total = sum(b.n for b in bins)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / total if total else 0.0
