"""Samples and steps from the configuration alone."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib import resources

from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.written import PASS_SPLIT
from so8t.build.plan.workload import workload, written
from so8t.core.config import load_config
from so8t.core.types import Split


def test_the_written_requests_are_counted_as_they_are_read() -> None:
    folder = resources.files("so8t") / "resources" / "requests"
    names = [n for n, split in PASS_SPLIT.items() if split is Split.TRAIN]
    lines = [json.loads(x) for n in names for x in (folder / f"{n}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written() == len(lines) > 1000


def test_phi4() -> None:
    found = workload(load_config("phi4-mini-12gb"))
    requests = 25_000 * 8 + 500 * 5 + written()
    assert found.samples == requests + 90_000  # the texts' share is more than there are
    assert found.steps == math.ceil(math.ceil(found.samples / 2) * 3 / 8)
    assert found.tokens_per_step == 16 * 1024 and found.tokens == found.steps * 16 * 1024


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0.01, 10))
def test_steps_cover_the_samples(batch: int, accumulation: int, epochs: float) -> None:
    config = load_config("tiny")
    train = dataclasses.replace(config.train, batch_size=batch, accumulation=accumulation, epochs=epochs)
    found = workload(dataclasses.replace(config, train=train))
    assert found.steps * batch * accumulation >= found.samples * epochs * 0.999
    assert (found.steps - 1) * accumulation < -(-found.samples // batch) * epochs
