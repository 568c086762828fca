"""Which utterances settle something, promise something, or leave something open: a linear model over their characters.

Each utterance is read with the one before and the one after, as "はい、そうします" means nothing alone. Three
independent logistic scores, since one sentence may decide and promise at once. A language model is not needed, so that
minutes can be made where only a small one runs, and every item points at the words it was found in. The weights that
ship were fitted by benchmarks/minutes.py to meetings written for it (resources/minutes).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.packaged import packaged
from so8t.operate.minutes.cues import settled_by
from so8t.operate.minutes.linking import FEATURES
from so8t.operate.minutes.transcript import Utterance, without_fillers

KINDS = ("decision", "todo", "open")
BUCKETS = 1 << 15
ORDER = 4  # characters of the longest n-gram
AROUND = (0, -1, 1)  # the utterance, the one before, the one after
CUE = 0.6  # least probability of what a set phrase says (cues.py)
READ = 160  # characters of an utterance looked at: of a long one its end, where it comes to the point
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Spotter:
    """weight [3, BUCKETS], bias [3], in the order of KINDS; threshold [3]: the least probability that counts; link
    [3, FEATURES]: whether two belong together (linking.py)."""

    weight: Floats
    bias: Floats
    threshold: Floats
    link: Floats

    def probabilities(self, utterances: Sequence[Utterance]) -> NDArray[np.float64]:
        """[utterances, 3]"""
        rows, columns, values = features(utterances)
        scores = np.zeros((len(utterances), len(KINDS)))
        np.add.at(scores, rows, (self.weight[:, columns] * values).T)
        probabilities: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-(scores + self.bias)))
        for i, one in enumerate(utterances):
            for k, kind in enumerate(KINDS):
                if probabilities[i, k] < CUE and settled_by(one.text, kind):
                    probabilities[i, k] = CUE
        return probabilities

    def to_bytes(self) -> bytes:
        """NumPy's .npz: plain arrays, never pickle."""
        buffer = io.BytesIO()
        weight = self.weight.astype(np.float16)
        np.savez_compressed(buffer, weight=weight, bias=self.bias, threshold=self.threshold, link=self.link)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Spotter:
        """Raises BundleBroken for anything but finite arrays of the right shape."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                made = cls(*(arrays[name].astype(np.float32) for name in ("weight", "bias", "threshold", "link")))
        except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleBroken(detail=f"minutes model: {error}") from error
        arrays_of = (made.weight, made.bias, made.threshold, made.link)
        kinds = len(KINDS)
        if [one.shape for one in arrays_of] != [(kinds, BUCKETS), (kinds,), (kinds,), (kinds, FEATURES)]:
            raise BundleBroken(detail=f"minutes model: {[one.shape for one in arrays_of]}")
        if not all(np.isfinite(one).all() for one in arrays_of):
            raise BundleBroken(detail="minutes model: not finite")
        return made


@cache
def packaged_spotter() -> Spotter:
    """The one that ships."""
    return Spotter.from_bytes(packaged("models", "minutes_model.npz").read_bytes())


def features(utterances: Sequence[Utterance]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """(utterance, bucket, value) of what is not zero in [utterances, BUCKETS]; of length 1 for each place of AROUND."""
    own = [_grams(one.text) for one in utterances]
    rows, columns, values = list[int](), list[int](), list[float]()
    for i in range(len(utterances)):
        for step in AROUND:
            if not 0 <= i + step < len(own):
                continue
            same = utterances[i + step].speaker == utterances[i].speaker
            found = own[i + step]
            buckets = {_placed(gram, step, same) for gram in found}
            rows += [i] * len(buckets)
            columns += sorted(buckets)
            values += [1.0 / max(1.0, len(buckets)) ** 0.5] * len(buckets)
    return np.array(rows, np.int64), np.array(columns, np.int64), np.array(values, np.float32)


def _placed(gram: int, step: int, same: bool) -> int:
    """A gram's bucket by where it stands: one's own words, another's, or one's own before or after."""
    salt = 0 if step == 0 else 0x9E3779B1 * (1 + (step > 0) * 2 + same)
    return ((gram ^ salt) * 0x85EBCA6B & 0xFFFFFFFF) >> 17


def _grams(text: str) -> tuple[int, ...]:
    """Hashes of the different 1- to ORDER-grams, its beginning and end marked, digits all alike."""
    plain = "".join("0" if c.isdigit() else c for c in without_fillers(text)[-READ:] if not c.isspace())
    marked = f"\x02{plain}\x03".encode("utf-32-le")
    length = len(marked) // 4
    return tuple({zlib.crc32(marked[4 * i : 4 * (i + n)]) for n in range(1, ORDER + 1) for i in range(length - n + 1)})
