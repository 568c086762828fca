"""Learning rate over training: warm-up, cosine, and what happens in the SWA window (plan 4.2, SPEC M8 M9)."""

from __future__ import annotations

import math

from so8t.core.config import SwaConfig


def learning_rate(step: int, steps: int, peak: float, warmup: float, swa: SwaConfig) -> float:
    """Rate of optimizer step `step` (0-based) out of `steps`.

    Linear warm-up over `warmup` x steps, half a cosine to zero, held at swa.learning_rate in the SWA window.
    """
    warm = max(1, round(warmup * steps))
    if step < warm:
        return peak * (step + 1) / warm
    if swa.enabled and swa.schedule == "constant" and step / steps >= swa.start:
        return swa.learning_rate
    progress = (step - warm) / max(1, steps - warm)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
