"""Linear scores of many texts at once over hashed character 1- and 2-grams (feature hashing: Weinberger et al. 2009).

score = bias + sum of the grams' weights / square root of their number, so that long texts are not surer than short ones
by their length alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.decide.codes import GAP, Codes, Offsets

BUCKETS = 1 << 15
FEW = 2000  # code units below which a table of all buckets does not pay
LONGEST = 400  # code units looked at: what a text is about shows early
Floats = NDArray[np.float32]
Buckets = NDArray[np.int64]

_FIRST, _SECOND, _PAIR = np.uint32(0x85EBCA6B), np.uint32(0x9E3779B1), np.uint32(0xC2B2AE35)
_MASK = np.uint32(BUCKETS - 1)


def cut(folded: Codes, longest: int) -> Codes:
    """The first `longest` code units of every text."""
    if not len(folded) or int(folded.lengths.max()) <= longest:
        return folded
    inside = np.arange(len(folded.units)) - np.repeat(folded.starts, folded.lengths + 1)
    units = folded.units[(inside < longest) | (folded.units == GAP)]
    lengths = np.minimum(folded.lengths, longest)
    ends = np.cumsum(lengths + 1) - 1
    return Codes(units, ends - lengths, ends)


@dataclass(frozen=True, slots=True)
class Grams:
    """Buckets of the (1-grams, 2-grams starting) at each unit of some texts; BUCKETS, one past the last, for none."""

    single: Buckets
    pair: Buckets
    starts: Offsets
    owners: NDArray[np.int32]
    counts: NDArray[np.int64]  # grams a text, at least 1


def grams(folded: Codes, longest: int) -> Grams:
    """Of the first `longest` code units of every text."""
    short = cut(folded, longest)
    codes = short.units.astype(np.uint32)
    following = np.concatenate([codes[1:], np.zeros(1, np.uint32)])[: len(codes)]
    single = ((codes * _FIRST) >> np.uint32(13)) & _MASK
    pair = ((codes * _SECOND ^ following * _PAIR) >> np.uint32(11)) & _MASK
    gap = codes == GAP
    single[gap] = BUCKETS
    pair[gap | (following == GAP)] = BUCKETS
    return Grams(
        single.astype(np.int64), pair.astype(np.int64), short.starts, short.owners(),
        np.maximum(2 * short.lengths - 1, 1),
    )  # fmt: skip


def scores(found: Grams, weight: Floats, bias: Floats) -> NDArray[np.float64]:
    """[texts, classes]; weight [classes, BUCKETS], bias [classes]."""
    if 0 < len(found.single) <= FEW:
        gathered = _gathered(found.single, weight) + _gathered(found.pair, weight)
        few: NDArray[np.float64] = np.add.reduceat(gathered, found.starts, axis=1).T
        return few / np.sqrt(found.counts)[:, None] + bias
    sums = np.zeros((len(found.starts), len(bias) + len(bias) % 2))
    for k in range(0, len(bias) if len(found.starts) else 0, 2):
        both = np.zeros(BUCKETS + 1, np.complex64)  # two classes as one complex number: half as many gathers
        both.real[:-1] = weight[k]
        if k + 1 < len(bias):
            both.imag[:-1] = weight[k + 1]
        added = np.add.reduceat(np.take(both, found.single) + np.take(both, found.pair), found.starts)
        sums[:, k], sums[:, k + 1] = added.real, added.imag
    scored: NDArray[np.float64] = sums[:, : len(bias)] / np.sqrt(found.counts)[:, None] + bias
    return scored


def _gathered(buckets: Buckets, weight: Floats) -> NDArray[np.float64]:
    """[classes, units]; 0 where there is no gram. Cheaper than scores' tables for a text or two."""
    return np.where(buckets < BUCKETS, weight[:, np.minimum(buckets, BUCKETS - 1)], 0.0).astype(np.float64)


def features(found: Grams) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """(text, bucket, value) of what is not zero in the [texts, BUCKETS] that `scores` multiplies; for training."""
    keys = np.concatenate([found.owners, found.owners]).astype(np.int64) * (BUCKETS + 1)
    keys, counts = np.unique(keys + np.concatenate([found.single, found.pair]), return_counts=True)
    texts, buckets = np.divmod(keys, BUCKETS + 1)
    real = buckets < BUCKETS
    values = counts / np.sqrt(found.counts)[texts]
    return texts[real], buckets[real], values[real].astype(np.float32)


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis."""
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares
