"""From the measured steps of two thin models to the time of the whole training (plan 7.1, SPEC T6). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from so8t.build.plan.workload import Workload

HOUR = 3600.0
THIN = (1, 3)  # layers of the two models
ACCUMULATIONS = (1, 2)
Measured = Mapping[tuple[int, int], float]  # (layers, accumulation) -> seconds of an optimizer step


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one micro-batch of `tokens` tokens and of what an optimizer step does once, each by layer and apart.

    An optimizer step of L layers and accumulation a takes a (micro + L micro_layer) + step + L step_layer.
    """

    micro: float
    micro_layer: float
    step: float
    step_layer: float
    tokens: int
    device: str
    measured_seconds: float = 0.0

    def seconds(self, layers: int, accumulation: int, tokens: int) -> float:
        """Of one optimizer step whose micro-batches hold `tokens` tokens: work grows with the tokens."""
        micro = (self.micro + layers * self.micro_layer) * tokens / self.tokens
        return accumulation * micro + self.step + layers * self.step_layer


def solve(found: Measured, tokens: int, device: str, spent: float = 0.0) -> Timing:
    """The four unknowns from the four measurements. What noise makes negative counts as nothing."""
    (few, many), (once, twice) = THIN, ACCUMULATIONS

    def per_layer(of_few: float, of_many: float) -> tuple[float, float]:
        layer = max(0.0, (of_many - of_few) / (many - few))
        return max(0.0, of_few - few * layer), layer

    micros = [(found[n, twice] - found[n, once]) / (twice - once) for n in THIN]
    steps = [found[n, once] - once * micro for n, micro in zip(THIN, micros, strict=True)]
    return Timing(*per_layer(*micros), *per_layer(*steps), tokens, device, spent)


@dataclass(frozen=True, slots=True)
class Duration:
    """What a timing means for a workload."""

    seconds_per_step: float
    tokens_per_second: float
    hours: float
    checkpoints: int


def duration(timing: Timing, work: Workload, layers: int, accumulation: int, interval: float) -> Duration:
    """`interval` between checkpoints in seconds; the last one is written at the end."""
    one = timing.seconds(layers, accumulation, work.tokens_per_step // max(1, accumulation))
    total = one * work.steps
    kept = int(total / interval) + 1 if interval > 0 else work.steps
    return Duration(one, work.tokens_per_step / max(one, 1e-12), total / HOUR, min(kept, work.steps))
