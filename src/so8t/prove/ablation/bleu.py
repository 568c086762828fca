"""BLEU of continuations, the one of prove.tasks.metrics, from counts a text, which add up over any choice of texts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import ngrams
from so8t.prove.tasks.metrics import ORDER, normalise

COUNTS = 2 * ORDER + 2  # matches and totals by order, length of what was made, length of the reference


def bleu_counts(made: str, reference: str) -> list[int]:
    """[matches of 1 to 4-grams, n-grams made of 1 to 4, characters made, characters of the reference]."""
    ours, theirs = normalise(made), normalise(reference)
    found = [Counter(ngrams(ours, n)) for n in range(1, ORDER + 1)]
    matches = [(own & Counter(ngrams(theirs, n))).total() for n, own in enumerate(found, 1)]
    return [*matches, *(own.total() for own in found), len(ours), len(theirs)]


def bleu(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points from 0 to 100 of summed counts [..., 10] -> [...]; NaN where there is no reference.

    An order without a match counts half of the one before, as in prove.tasks.metrics.
    """
    matches, totals = counts[..., :ORDER], counts[..., ORDER : 2 * ORDER]
    made, reference = counts[..., -2], counts[..., -1]
    halvings = np.cumsum(matches == 0, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matches > 0, matches, 0.5**halvings) / totals
        points = 100 * np.exp(np.log(precision).mean(-1) + np.minimum(0.0, 1 - reference / made))
    points = np.where((matches[..., 0] > 0) & (totals > 0).all(-1), points, 0.0)
    result: NDArray[np.float64] = np.where(reference > 0, points, np.nan)
    return result
