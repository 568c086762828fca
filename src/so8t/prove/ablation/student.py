"""Student's t for a few paired seeds, in closed form: no statistics library is needed for whole degrees of freedom."""

from __future__ import annotations

import math

HALVINGS = 200


def two_sided(t: float, freedom: int) -> float:
    """P(|T| >= |t|) for `freedom` >= 1 degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    if freedom < 1:
        raise ValueError(f"degrees of freedom {freedom}")
    angle = math.atan(abs(t) / math.sqrt(freedom))
    inside = _odd(angle, freedom) if freedom % 2 else _even(angle, freedom)
    return min(1.0, max(0.0, 1.0 - inside))


def _odd(angle: float, freedom: int) -> float:
    total, term = 0.0, math.cos(angle)
    for k in range(1, (freedom - 1) // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * k) / (2 * k + 1)
    return 2 / math.pi * (angle + math.sin(angle) * total)


def _even(angle: float, freedom: int) -> float:
    total, term = 0.0, 1.0
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * k - 1) / (2 * k)
    return math.sin(angle) * total


def critical(freedom: int, level: float = 0.05) -> float:
    """The t that |T| exceeds with probability `level`, by bisection: 12.706 for one degree, 4.303 for two."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > level:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > level else (low, middle)
    return (low + high) / 2
