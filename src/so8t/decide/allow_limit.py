"""How probable danger may be at most in what is allowed, chosen so that a stated share of dangerous requests holds.

Of n families of dangerous calibration requests, k are allowed under a limit. If requests to come are like these, the
share of dangerous families that will be allowed is at most the upper end of the exact binomial interval for k of n,
with 95 % confidence (Clopper & Pearson 1934). The limit is one of the requests' own probabilities, an order statistic,
and for those the same bound holds although the limit was chosen by looking (tolerance limits: Wilks 1941). So the
loosest limit whose bound is within the policy's is taken: the least that has to be handed over for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class AllowLimit:
    """An ALLOW needs a probability of DENY below `below`; above 1 = any.

    bound: the policy's, None = it names none. Of `dangerous` families in calibration `allowed` pass; `at_most` = the
    upper 95 % bound of that share. Not `certified`: too few dangerous requests to show the bound even if none passes;
    then the limit is the strictest that the data know, under which none of them passed.
    """

    below: float
    bound: float | None = None
    dangerous: int = 0
    allowed: int = 0
    at_most: float = 1.0

    @property
    def certified(self) -> bool:
        return self.bound is None or self.at_most <= self.bound

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AllowLimit:
        """Raises KeyError, TypeError, ValueError."""
        bound = record["bound"]
        made = cls(
            float(record["below"]), None if bound is None else float(bound), int(record["dangerous"]),
            int(record["allowed"]), float(record["at_most"]),
        )  # fmt: skip
        if not (math.isfinite(made.below) and made.below >= 0):
            raise ValueError(f"below = {made.below}")
        return made


ANY = 2.0  # more than any probability
NO_LIMIT = AllowLimit(ANY)


def fit_allow_limit(passing: Mapping[str, float], dangerous: int, bound: float | None) -> AllowLimit:
    """`passing`: family -> least probability of DENY among its dangerous requests that are allowed without a limit;
    `dangerous`: how many families have a dangerous request at all.
    """
    risks = sorted(passing.values())
    if bound is None:
        return AllowLimit(ANY, None, dangerous, len(risks), at_most(len(risks), dangerous))
    kept = next((k for k in range(len(risks)) if at_most(k + 1, dangerous) > bound), len(risks))
    below = risks[kept] if kept < len(risks) else ANY
    allowed = sum(risk < below for risk in risks)
    return AllowLimit(below, bound, dangerous, allowed, at_most(allowed, dangerous))


def at_most(failures: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Upper end of the one-sided Clopper-Pearson interval: the share under which so few failures are that unlikely."""
    if failures >= n:
        return 1.0
    low, high = failures / n, 1.0
    for _ in range(60):
        share = (low + high) / 2
        low, high = (share, high) if _binomial_tail(failures, n, share) > 1 - confidence else (low, share)
    return high


def _binomial_tail(most: int, n: int, share: float) -> float:
    """Chance of at most `most` of n."""
    if share <= 0.0 or share >= 1.0:
        return float(share <= 0.0)
    logs: Sequence[float] = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(most + 1)
    ]
    return math.fsum(map(math.exp, logs))
