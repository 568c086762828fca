"""Which of the eight domains a text belongs to: a linear model over character 1-2-grams, calibrated (SPEC D3)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.text import dedup_key
from so8t.core.types import Domain
from so8t.decide.codes import encode
from so8t.decide.linear import BUCKETS, LONGEST, Floats, Grams, grams, scores, softmax

DOMAINS: tuple[Domain, ...] = tuple(Domain)


@dataclass(frozen=True, slots=True)
class DomainModel:
    """weight [8, BUCKETS], bias [8]; below `minimum_confidence` the answer is general."""

    weight: Floats
    bias: Floats
    temperature: float
    minimum_confidence: float

    def probabilities(self, text: str) -> dict[Domain, float]:
        shares = self.shares(_grams(text))[0]
        return {d: float(p) for d, p in zip(DOMAINS, shares, strict=True)}

    def classify(self, text: str) -> tuple[Domain, float]:
        """(domain, its probability)."""
        return self.classify_many(_grams(text))[0]

    def classify_many(self, texts: Grams) -> Sequence[tuple[Domain, float]]:
        """(domain, its probability) of every text."""
        shares = self.shares(texts)
        best = shares.argmax(-1)
        general = DOMAINS.index(Domain.GENERAL)
        best = np.where(shares.max(-1, initial=0.0) < self.minimum_confidence, general, best)
        return [(DOMAINS[k], float(row[k])) for k, row in zip(best.tolist(), shares, strict=True)]

    def shares(self, texts: Grams) -> NDArray[np.float64]:
        """[texts, 8] probabilities in the order of DOMAINS."""
        return softmax(scores(texts, self.weight, self.bias) / self.temperature)

    def to_bytes(self) -> bytes:
        """NumPy's .npz: plain arrays, never pickle."""
        buffer = io.BytesIO()
        calibration = np.array([self.temperature, self.minimum_confidence], np.float64)
        np.savez_compressed(buffer, weight=self.weight.astype(np.float16), bias=self.bias, calibration=calibration)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> DomainModel:
        """Raises BundleBroken for anything but arrays of the right shape."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                weight, bias = arrays["weight"].astype(np.float32), arrays["bias"].astype(np.float32)
                temperature, minimum = (float(v) for v in arrays["calibration"])
        except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleBroken(detail=f"domain model: {error}") from error
        if weight.shape != (len(DOMAINS), BUCKETS) or bias.shape != (len(DOMAINS),) or not temperature > 0:
            raise BundleBroken(detail=f"domain model: {weight.shape}")
        return cls(weight, bias, temperature, minimum)


def _grams(text: str) -> Grams:
    return grams(encode([dedup_key(text.replace("\0", ""))]), LONGEST)
