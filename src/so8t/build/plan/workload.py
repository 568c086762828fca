"""How much there is to train on: samples, micro-batches, optimizer steps (plan 5.2, SPEC D9)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

from so8t.build.data.written import PASS_SPLIT
from so8t.core.config import Config
from so8t.core.types import Domain, Split

IMAGE_DOMAINS = 5  # plan 3.3


@dataclass(frozen=True, slots=True)
class Workload:
    """At most: validation takes some out, and the texts may run short."""

    samples: int
    steps: int
    tokens_per_step: int  # of full rows

    @property
    def tokens(self) -> int:
        return self.steps * self.tokens_per_step


def workload(config: Config) -> Workload:
    """From the configuration alone; train counts again when the data are there."""
    train = config.train
    requests = config.synth.samples_per_domain * len(Domain) + config.multimodal.samples_per_domain * IMAGE_DOMAINS
    requests += written() * train.written_repeats if config.synth.written else 0
    texts = requests * train.text_share / max(1e-9, 1 - train.text_share)
    texts = min(texts, config.collect.maximum_samples * (1 - config.collect.validation_share))
    samples = requests + round(texts)
    batches = math.ceil(samples / max(1, train.batch_size))
    steps = max(1, math.ceil(batches * train.epochs / max(1, train.accumulation)))
    return Workload(samples, steps, train.batch_size * train.accumulation * train.maximum_tokens)


@cache
def written() -> int:
    """Requests that ship with the package and are for training."""
    folder = resources.files("so8t") / "resources" / "requests"
    names = [f"{name}.jsonl" for name, split in PASS_SPLIT.items() if split is Split.TRAIN]
    return sum((folder / name).read_bytes().count(b"\n") for name in names)
