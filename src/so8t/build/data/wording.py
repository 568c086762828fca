"""Fit the wording model (decide/wording.py) to the labelled requests of the split train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from so8t.build.data.softmax_regression import minimise
from so8t.core.types import DECISIONS, Levels, Sample
from so8t.decide.linear import Floats
from so8t.decide.wording import BUCKETS, STEPS_ABOVE, WordingModel, counted, features

# Chosen by leaving a sixth of the writing passes out at a time (benchmarks/judgement.py --folds), never on test.
LEAST_TEXTS = 2  # an n-gram of fewer requests is left out
STRENGTH = 10.0  # weight of the data against the penalty |w|²/2, per request
STEPS = 60


def fit_wording(samples: Sequence[Sample], levels: Levels) -> WordingModel:
    """Deterministic. Requests without a label are left out; a request without classification touches nothing above."""
    labelled = [s for s in samples if s.decision is not None]
    texts, gaps = [s.text for s in labelled], [gap(s, levels) for s in labelled]
    rarity = inverse_document_frequency(texts)
    found = features(texts, gaps, rarity)
    x = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([found.rows, found.columns])), torch.from_numpy(found.values),
        (len(texts), BUCKETS + STEPS_ABOVE), check_invariants=True,
    ).coalesce()  # fmt: skip
    y = torch.tensor([DECISIONS.index(s.decision) for s in labelled if s.decision is not None], dtype=torch.long)
    penalty = 1 / (2 * STRENGTH * max(1, len(texts)))
    weight, bias = minimise(x, y, len(DECISIONS), penalty=penalty, steps=STEPS)
    return WordingModel(weight.numpy(), bias.numpy(), rarity)


def inverse_document_frequency(texts: Sequence[str]) -> Floats:
    """[BUCKETS] 1 + ln((1 + N) / (1 + n)); 0 for n-grams of fewer than LEAST_TEXTS texts."""
    _, buckets, _ = counted(texts)
    n = np.bincount(buckets, minlength=BUCKETS)
    rarity: Floats = np.where(n >= LEAST_TEXTS, 1 + np.log((1 + len(texts)) / (1 + n)), 0.0).astype(np.float32)
    return rarity


def gap(sample: Sample, levels: Levels) -> int:
    """Levels that the material of a request lies above its asker."""
    return levels.gap(sample.clearance or levels.names[0], sample.classification or levels.names[0])
