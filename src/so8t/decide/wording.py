"""Which decision the wording of a request suggests: a linear model over its character n-grams and its two levels.

n-grams of 1 to 4 UTF-16 code units, hashed (Weinberger et al. 2009), (1 + log count) x inverse document frequency at
length 1 (Salton & Buckley 1988), and which of three steps the material lies above the asker's clearance; multinomial
logistic regression. It knows no meaning, but on written requests it is right more often than a small language model
(docs/results/judgement.md), and it takes well under a millisecond.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.text import dedup_key
from so8t.core.types import DECISIONS
from so8t.decide.codes import GAP, encode
from so8t.decide.linear import Floats, cut
from so8t.decide.views import clearest

ORDER = 4  # code units of the longest n-gram
BUCKETS = 1 << 18
LONGEST = 1000  # code units looked at
STEPS_ABOVE = 3  # features of the levels: may read, one level short, two or more
_MIX, _FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(64 - 18)


@dataclass(frozen=True, slots=True)
class Features:
    """What is not zero in [texts, BUCKETS + STEPS_ABOVE]: row, column and value of each."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, slots=True)
class WordingModel:
    """weight [3, BUCKETS + STEPS_ABOVE] in the order of DECISIONS, bias [3], rarity [BUCKETS]: 0 where unseen."""

    weight: Floats
    bias: Floats
    rarity: Floats

    def scores(self, query: str, gap: int) -> NDArray[np.float64]:
        """[3] uncalibrated log-odds; `gap` = levels that the material lies above the asker."""
        found = features([query], [gap], self.rarity)
        scored: NDArray[np.float64] = (self.weight[:, found.columns] * found.values).sum(1).astype(
            np.float64
        ) + self.bias
        return scored

    def to_bytes(self) -> bytes:
        """NumPy's .npz: plain arrays, never pickle."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, weight=self.weight.astype(np.float16), bias=self.bias, rarity=self.rarity.astype(np.float16)
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> WordingModel:
        """Raises BundleBroken for anything but finite arrays of the right shape."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                weight, bias, rarity = (arrays[name].astype(np.float32) for name in ("weight", "bias", "rarity"))
        except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleBroken(detail=f"wording model: {error}") from error
        shapes = (weight.shape, bias.shape, rarity.shape)
        if shapes != ((len(DECISIONS), BUCKETS + STEPS_ABOVE), (len(DECISIONS),), (BUCKETS,)):
            raise BundleBroken(detail=f"wording model: {shapes}")
        if not all(np.isfinite(array).all() for array in (weight, bias, rarity)):
            raise BundleBroken(detail="wording model: not finite")
        return cls(weight, bias, rarity)


def counted(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(text, bucket, count) of every n-gram in the clearest reading of each text."""
    folded = cut(encode([dedup_key(clearest(text).text).replace("\0", "") for text in texts]), LONGEST)
    units, owners = folded.units.astype(np.uint64), folded.owners().astype(np.int64)
    keys, rolling, whole = [], np.zeros(len(units), np.uint64), np.ones(len(units), np.bool_)
    for n in range(ORDER):  # n-grams by where they start: the hash of n + 1 units is made from that of n
        unit = np.concatenate([units[n:], np.full(min(n, len(units)), GAP, np.uint64)])
        rolling = (rolling + unit + np.uint64(1)) * _MIX
        rolling ^= rolling >> np.uint64(32)
        whole &= unit != GAP
        buckets = ((rolling * _MIX) >> _FOLD).astype(np.int64)
        keys.append((owners * BUCKETS + buckets)[whole])
    unique, counts = np.unique(np.concatenate(keys), return_counts=True)
    rows, buckets = np.divmod(unique, BUCKETS)
    return rows, buckets, counts


def features(texts: Sequence[str], gaps: Sequence[int], rarity: Floats) -> Features:
    """`rarity` [BUCKETS] = inverse document frequency; n-grams where it is 0 were never seen and count for nothing."""
    rows, buckets, counts = counted(texts)
    known = rarity[buckets] > 0
    rows, buckets = rows[known], buckets[known]
    values = (1 + np.log(counts[known])) * rarity[buckets]
    length = np.sqrt(np.bincount(rows, values**2, minlength=len(texts)))
    steps = np.clip(np.array(gaps, np.int64), 0, STEPS_ABOVE - 1)
    return Features(
        np.concatenate([rows, np.arange(len(texts))]),
        np.concatenate([buckets, BUCKETS + steps]),
        np.concatenate([values / length[rows], np.ones(len(texts))]).astype(np.float32),
    )
