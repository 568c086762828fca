"""What a few paired differences say: mean, 95 % interval and p by Student's t, and Holm's correction over several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from so8t.prove.ablation.student import critical, two_sided

LEVEL = 0.05
ROUNDING = 1e-9  # a spread below this share of the mean is rounding, not spread


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean of n paired differences. low, high, p: None where the differences do not say how much they vary."""

    mean: float
    n: int
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired(differences: Sequence[float]) -> Estimate:
    """Two-sided paired t test. Raises ValueError for no differences or one that is not finite.

    One difference, or several that are all the same, have no interval: nothing is known of their spread. Several that
    are all zero are an answer all the same: nothing changed.
    """
    n = len(differences)
    if not n or not all(map(math.isfinite, differences)):
        raise ValueError(f"differences {list(differences)}")
    mean = math.fsum(differences) / n
    if n == 1:
        return Estimate(mean, 1)
    if not any(differences):
        return Estimate(0.0, n, 0.0, 0.0, 1.0)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    if spread <= ROUNDING * abs(mean):
        return Estimate(mean, n)
    error = spread / math.sqrt(n)
    half = critical(n - 1, LEVEL) * error
    return Estimate(mean, n, mean - half, mean + half, two_sided(mean / error, n - 1))


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, in the given order (Holm 1979, Scandinavian J. of Statistics 6)."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, most = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = most
    return adjusted
