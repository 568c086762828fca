"""Which of the validated samples are trained on, and which are held back to choose the better weights."""

from __future__ import annotations

import random
from pathlib import Path

from so8t.build.data.sample_lines import load_samples, split_file
from so8t.core.config import TrainConfig
from so8t.core.types import Sample, Split

WRITTEN = "so8t written requests"  # how the source of a hand-written request begins


def training_samples(folder: Path, config: TrainConfig) -> tuple[list[Sample], list[Sample]]:
    """(train, validation) of a validate folder: requests, the written ones repeated, with the share of plain text."""
    samples = load_samples([split_file(folder, Split.TRAIN)])
    requests = [s for s in samples if s.kind == "request"]
    written = [s for s in requests if s.source.startswith(WRITTEN)]
    train = requests + written * (config.written_repeats - 1)
    texts = [s for s in samples if s.kind == "text"]
    generator = random.Random(config.seed)
    wanted = round(len(train) * config.text_share / max(1e-9, 1 - config.text_share))
    train += generator.sample(texts, min(wanted, len(texts)))
    held = [s for s in load_samples([split_file(folder, Split.VALIDATION)]) if s.source.startswith(WRITTEN)]
    generator.shuffle(held)
    return train, held[: config.validation_samples]
