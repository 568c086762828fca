"""When a training goes wrong: not a number, a spike, no progress, oscillation; and what the plan advises (8.3)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from so8t.core.config import RecoveryConfig, TrainConfig
from so8t.core.errors import TrainingDiverged

LEAST = 10  # losses that make a median worth comparing with
MARGIN = 1.0  # nats above the median that a spike has at least: late losses are small and noisy
PROGRESS = 0.005  # share by which the median of a window must fall
OSCILLATION = 0.25  # mean jump from step to step, as a share of the median
PET_SHARE = 0.2  # of the loss


class Watch:
    """Remembers the last losses and says when one is out of all proportion."""

    def __init__(self, config: RecoveryConfig) -> None:
        self._config = config
        self._losses: deque[float] = deque(maxlen=max(LEAST, config.window))

    def restart(self, losses: Sequence[float]) -> None:
        self._losses.clear()
        self._losses.extend(losses[-(self._losses.maxlen or 0) :])

    def check(self, step: int, loss: float, gradient_norm: float) -> None:
        """Raises TrainingDiverged; else remembers the loss."""
        if not math.isfinite(loss) or not math.isfinite(gradient_norm):
            raise TrainingDiverged(where=f"step {step}", detail=f"loss {loss}, gradient {gradient_norm}")
        if len(self._losses) >= LEAST:
            usual = median(self._losses)
            if loss > max(self._config.spike * usual, usual + MARGIN):
                raise TrainingDiverged(where=f"step {step}", detail=f"loss {loss:.4g}, median {usual:.4g}")
        self._losses.append(loss)


@dataclass(frozen=True, slots=True)
class Advice:
    """A remedy of the plan with what it was concluded from."""

    kind: str
    ja: str
    en: str


def advice(losses: Sequence[float], pet: Sequence[float], config: TrainConfig) -> Advice | None:
    """Compares the last window with the one before. `pet`: weighted PET terms of the same steps."""
    window = max(LEAST, config.recovery.window)
    if len(losses) < 2 * window:
        return None
    last, before = losses[-window:], losses[-2 * window : -window]
    usual = median(last)
    jumps = fmean(abs(b - a) for a, b in pairwise(last)) / max(usual, 1e-12)
    if jumps > OSCILLATION:
        return Advice(
            "oscillation",
            f"損失が大きく揺れています(一歩の変化が平均 {jumps:.0%})。train.clip = {config.clip / 2:g} か "
            f"train.learning_rate = {config.learning_rate / 2:g} を試してください",
            f"the loss oscillates ({jumps:.0%} a step): try train.clip = {config.clip / 2:g} or "
            f"train.learning_rate = {config.learning_rate / 2:g}",
        )
    if median(before) - usual >= PROGRESS * median(before):
        return None
    share = fmean(pet[-window:]) / max(usual, 1e-12)
    if share > PET_SHARE:
        lambdas = ", ".join(f"{x / 2:g}" for x in config.pet.lambdas)
        return Advice(
            "pet",
            f"損失が下がらず、PET がその {share:.0%} に当たります。train.pet.lambdas = [{lambdas}] を試してください",
            f"no progress, and PET is {share:.0%} of the loss: try train.pet.lambdas = [{lambdas}]",
        )
    return Advice(
        "no-progress",
        f"直近 {window} ステップで損失が下がっていません。学習率を半分に、warmup を {config.warmup * 2:g} に、"
        "それでもだめなら collect.minimum_quality を上げてください",
        f"no progress over {window} steps: halve the rate, set train.warmup = {config.warmup * 2:g}, "
        "then raise collect.minimum_quality",
    )
