"""Scores -> probabilities that mean what they say (arXiv 1706.04599, plan 5.4 "温度較正")."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.types import DECISIONS, Decision
from so8t.decide.allow_limit import NO_LIMIT, AllowLimit

Array = NDArray[np.float64]
PLAN_GRID = np.linspace(0.5, 3.0, 50)
BINS = 10
SWEEPS = 50
_LOW, _HIGH = math.log(0.05), math.log(50.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperatures of one quantisation, and below which probability of danger it may allow.

    temperature, wording_temperature: of the language model's and the wording model's scores, fitted together;
    fusion_temperature: of the fused opinions; temperature_plan_grid: by the plan's grid, of the pooled scores.
    """

    temperature: float = 1.0
    wording_temperature: float = 1.0
    fusion_temperature: float = 1.0
    temperature_plan_grid: float = 1.0
    allow: AllowLimit = NO_LIMIT

    @property
    def pool(self) -> tuple[float, float]:
        """The temperatures of a ModelJudge's parts, in their order."""
        return self.temperature, self.wording_temperature

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Calibration:
        """Raises BundleBroken unless all temperatures are positive numbers and the limit is one."""
        try:
            made = cls(
                float(record["temperature"]), float(record["wording_temperature"]),
                float(record["fusion_temperature"]), float(record["temperature_plan_grid"]),
                AllowLimit.from_json(record["allow"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise BundleBroken(detail=f"calibration: {error}") from error
        if not all(
            math.isfinite(v) and v > 0 for v in (*made.pool, made.fusion_temperature, made.temperature_plan_grid)
        ):
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
    return _least(lambda t: nll(softmax(scores, t), labels)) if len(labels) else 1.0


def _pool_loss(own: Array, others: Array, labels: NDArray[np.int64], temperature: float) -> float:
    return nll(softmax(own / temperature + others), labels)


def _least(loss: Callable[[float], float]) -> float:
    """The temperature of least loss, where the loss has one minimum."""
    ratio = (math.sqrt(5) - 1) / 2
    low, high = _LOW, _HIGH
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if loss(math.exp(a)) <= loss(math.exp(b)):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def pooled(parts: Array, temperatures: Array | Sequence[float]) -> Array:
    """[..., k, 3] scores of k models -> [..., 3]: a logarithmic opinion pool, each model's weight 1 / temperature."""
    result: Array = (np.asarray(parts, np.float64) / np.asarray(temperatures, np.float64)[..., None]).sum(-2)
    return result


def fit_pool(parts: Array, labels: NDArray[np.int64]) -> tuple[float, ...]:
    """[n, k, 3] -> k temperatures of least NLL together. One after the other until nothing moves: the NLL is convex in
    their inverses. A model that says nothing new gets the highest temperature; all 1 without data.
    """
    inverse = np.ones(parts.shape[1])
    if not len(labels):
        return tuple(inverse.tolist())
    for _ in range(SWEEPS):
        before = inverse.copy()
        for k in range(len(inverse)):
            rest = np.delete(inverse, k)
            others = (np.delete(parts, k, axis=1) * rest[None, :, None]).sum(1)
            inverse[k] = 1 / _least(partial(_pool_loss, parts[:, k], others, labels))
        if np.abs(inverse - before).max() < 1e-4:
            break
    return tuple((1 / inverse).tolist())


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
