"""Drift: the judges disagree more often than they did in the proof, so what was proven may no longer hold (SPEC P3).

Each verdict about which two judges speak is a draw: they agree or they name different decisions. The share proven is
that of the card's test split, at the upper end of its 95 % interval. A likelihood ratio against a share half as high
again is multiplied up from verdict to verdict and never falls below 1 (CUSUM: Page 1954; as an e-detector: Shin, Ramdas
& Rinaldo 2022). While the proven share holds, alarms come on average no sooner than every 1 / ALARM verdicts, however
long the watch goes on; there is no window and no test repeated until it fires.

An alarm is an entry of the ledger and a figure of /metrics. It changes no verdict: people find out what has changed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from so8t.decide.allow_limit import at_most
from so8t.decide.combine import apart
from so8t.operate.gateway import Gateway, Recorded

ALARM = 1e-4
SHOWN = 200  # newest verdicts whose share of disagreement is told
HIGHEST = 0.98


@dataclass(slots=True)
class Detector:
    """`proven`: share of disagreement that is in order; `evidence`: how much more likely the higher share is by now."""

    proven: float
    evidence: float = 1.0

    def add(self, disagree: bool) -> bool:
        """One verdict; whether that is an alarm, after which the count starts anew."""
        other = min(HIGHEST, 1.5 * self.proven + 0.01)
        ratio = other / self.proven if disagree else (1 - other) / (1 - self.proven)
        self.evidence = max(self.evidence, 1.0) * ratio
        if self.evidence * ALARM < 1:
            return False
        self.evidence = 1.0
        return True


@dataclass(slots=True)
class Drift:
    """Give observe() to the gateway's observers and watch() to the background. `alarms` since the start."""

    gateway: Gateway
    detector: Detector
    alarms: int = 0
    _newest: deque[bool] = field(default_factory=lambda: deque(maxlen=SHOWN), repr=False)
    _raised: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def share(self) -> float:
        """Of the newest SHOWN verdicts: how many of them found the judges apart."""
        return sum(self._newest) / len(self._newest) if self._newest else 0.0

    def observe(self, recorded: Recorded) -> None:
        disagree = apart(recorded.verdict.opinions)
        if disagree is None:
            return
        self._newest.append(disagree)
        if self.detector.add(disagree):
            self._raised.set()

    async def watch(self) -> None:
        """Write down every alarm, for ever. Raises LedgerUnavailable, and writes that alarm at the next call."""
        while True:
            await self._raised.wait()
            body = {
                "event": "drift", "actor": "server", "proven": round(self.detector.proven, 4),
                "share": round(self.share, 4), "verdicts": len(self._newest),
            }  # fmt: skip
            await self.gateway.note("error", body)
            self.alarms += 1
            self._raised.clear()


def proven_share(card: Mapping[str, Any], quantisation: str) -> float | None:
    """Upper 95 % bound of the share that the card tells of a file; None where it tells nothing usable."""
    try:
        told = card["results"][quantisation]["splits"]["test"]["apart"]
        n, disagreed = int(told["n"]), int(told["apart"])
    except (KeyError, TypeError, ValueError):
        return None
    if not 0 <= disagreed <= n or n == 0:
        return None
    return min(at_most(disagreed, n), HIGHEST - 0.01)


def drift_of(gateway: Gateway, card: Mapping[str, Any], quantisation: str) -> Drift | None:
    """None for a bundle without a proof to hold operation against."""
    share = proven_share(card, quantisation)
    return None if share is None else Drift(gateway, Detector(share))
