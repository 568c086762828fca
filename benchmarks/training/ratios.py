"""Medians and paired ratios: what two contestants did in the same round is compared, then the rounds are summed up."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the rounds, and the quartiles (the extremes where there are fewer than four rounds)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"

    def to_json(self) -> dict[str, float]:
        return {"median": round(self.median, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def paired(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """above / below, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def spread(values: Sequence[float]) -> Ratio:
    if len(values) < 4:
        return Ratio(statistics.median(values), min(values), max(values))
    low, _, high = statistics.quantiles(values, n=4)
    return Ratio(statistics.median(values), low, high)


def verdict(value: float, target: float, at_least: bool) -> dict[str, Any]:
    return {"value": round(value, 4), "target": target, "met": value >= target if at_least else value <= target}
