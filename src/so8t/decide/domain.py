"""Which of the eight domains a text belongs to: hashed character 1-2-grams, a linear layer, calibrated (SPEC D3)."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BundleBroken
from so8t.core.text import nfkc
from so8t.core.types import Domain

BUCKETS = 1 << 14
LONGEST = 4000  # characters looked at
DOMAINS: tuple[Domain, ...] = tuple(Domain)
Floats = NDArray[np.float32]


def features(text: str) -> Floats:
    """[BUCKETS] square-rooted counts of character 1- and 2-grams, hashed, of unit length."""
    codes = np.frombuffer(nfkc(text)[:LONGEST].lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(
        np.uint64
    )
    pairs = codes[:-1] * np.uint64(0x9E3779B1) + codes[1:]
    mixed = np.concatenate([codes * np.uint64(0x85EBCA6B), pairs * np.uint64(0xC2B2AE35)]) >> np.uint64(7)
    counts = np.bincount((mixed % np.uint64(BUCKETS)).astype(np.int64), minlength=BUCKETS)
    values = np.sqrt(counts).astype(np.float32)
    norm = float(np.linalg.norm(values))
    return values / norm if norm else values


@dataclass(frozen=True, slots=True)
class DomainModel:
    """weight [8, BUCKETS], bias [8]; below `minimum_confidence` the answer is general."""

    weight: Floats
    bias: Floats
    temperature: float
    minimum_confidence: float

    def probabilities(self, text: str) -> dict[Domain, float]:
        logits = (self.weight @ features(text) + self.bias) / self.temperature
        shifted = np.exp(logits - logits.max())
        return {d: float(p) for d, p in zip(DOMAINS, shifted / shifted.sum(), strict=True)}

    def classify(self, text: str) -> tuple[Domain, float]:
        """(domain, its probability)."""
        probabilities = self.probabilities(text)
        best = max(probabilities, key=lambda d: probabilities[d])
        if probabilities[best] < self.minimum_confidence:
            return Domain.GENERAL, probabilities[Domain.GENERAL]
        return best, probabilities[best]

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
