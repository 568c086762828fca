"""Fluent text nobody should learn from: notices, advertisements, menus, machine output. A linear model tells them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.packaged import packaged
from so8t.decide.linear import BUCKETS, Floats, Grams, scores, softmax

JUNK = (
    ("同意や規約の定型文", "a consent or legal notice"),
    ("広告", "advertising"),
    ("案内や目次", "navigation"),
    ("機械の出力", "machine output"),
)
CLASSES = 1 + len(JUNK)  # class 0 is prose
FILE = "junk_model.npz"


@dataclass(frozen=True, slots=True)
class JunkModel:
    """weight [CLASSES, BUCKETS], bias [CLASSES]; junk = its classes together above `limit`."""

    weight: Floats
    bias: Floats
    limit: float

    def shares(self, texts: Grams) -> NDArray[np.float64]:
        """[texts, len(JUNK)] probability of each kind of junk."""
        return softmax(scores(texts, self.weight, self.bias))[:, 1:]

    def to_bytes(self) -> bytes:
        """NumPy's .npz: plain arrays, never pickle."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, weight=self.weight.astype(np.float16), bias=self.bias, limit=np.array([self.limit]))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> JunkModel:
        """Raises BundleBroken for anything but arrays of the right shape."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                weight, bias = arrays["weight"].astype(np.float32), arrays["bias"].astype(np.float32)
                limit = float(arrays["limit"][0])
        except (KeyError, IndexError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleBroken(detail=f"junk model: {error}") from error
        if weight.shape != (CLASSES, BUCKETS) or bias.shape != (CLASSES,) or not 0 < limit <= 1:
            raise BundleBroken(detail=f"junk model: {weight.shape}")
        return cls(weight, bias, limit)


@cache
def junk_model() -> JunkModel:
    """The one that ships with the package (made by benchmarks/quality_model.py)."""
    return JunkModel.from_bytes(packaged("models", FILE).read_bytes())
