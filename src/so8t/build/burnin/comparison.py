"""How far the logits of two models are apart, taken in a slice of the vocabulary at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from so8t.build.burnin.fold import largest
from so8t.core.errors import BurnInFailed


@dataclass(frozen=True, slots=True)
class Difference:
    """Distance of two models over all positions of all prompts. A position of NaNs agrees with nothing."""

    logit: float
    kl: float
    agreement: float
    rms: float


class _Side:
    """One model's logits so far: log of the sum of exponentials, largest logit and whose it is, by position."""

    def __init__(self, positions: int) -> None:
        self.total = torch.full((positions,), -torch.inf, dtype=torch.float64)
        self.best = torch.full((positions,), -torch.inf, dtype=torch.float64)
        self.token = torch.full((positions,), -1)

    def add(self, logits: Tensor, start: int) -> Tensor:
        """logits [positions, slice] fp64 of the tokens from `start`; their log of the sum of exponentials."""
        best, token = logits.max(-1)
        better = best > self.best  # the first of equal ones, as argmax takes it
        self.best = torch.where(better, best, self.best)
        self.token = torch.where(better, token + start, self.token)
        part = logits.logsumexp(-1)
        self.total = torch.logaddexp(self.total, part)
        return part


class Comparison:
    """Max |logit difference|, KL(a || b), equal argmax and RMS, in fp64 and in one pass over the vocabulary.

    KL(a || b) = E_a[a - b] - log sum exp a + log sum exp b; the mean is carried from slice to slice.
    """

    def __init__(self, positions: int) -> None:
        self._positions = positions
        self._a, self._b = _Side(positions), _Side(positions)
        self._mean = torch.zeros(positions, dtype=torch.float64)
        self._largest = torch.zeros((), dtype=torch.float64)
        self._squares, self._tokens = 0.0, 0

    def add(self, a: Tensor, b: Tensor) -> None:
        """The next slice of the vocabulary: [positions, slice] each, in any precision."""
        a, b = a.double(), b.double()
        apart, before = a - b, self._a.total
        part = self._a.add(a, self._tokens)
        self._b.add(b, self._tokens)
        mean = ((a - part[:, None]).exp_() * apart).sum(-1)
        self._mean = self._mean * (before - self._a.total).exp() + mean * (part - self._a.total).exp()
        self._largest = torch.maximum(self._largest, apart.abs().max())  # NaN stays NaN
        self._squares += float(apart.square().sum())
        self._tokens += a.shape[-1]

    def result(self) -> Difference:
        kl = self._mean - self._a.total + self._b.total  # of equal logits: rounding, on either side of zero
        return Difference(
            logit=float(self._largest), kl=float(kl.max().clamp(min=0.0)),
            agreement=float(((self._a.token == self._b.token) & (self._a.token >= 0)).double().mean()),
            rms=math.sqrt(self._squares / (self._positions * self._tokens)),
        )  # fmt: skip


@torch.no_grad()
def difference(a: Any, b: Any, prompts: list[list[int]]) -> Difference:
    """Of two models in memory, prompt by prompt. Raises BurnInFailed when there is nothing to compare on."""
    if not prompts or not all(prompts):
        raise BurnInFailed(detail="no prompts to compare on")
    found, numbers = [], []
    for ids in prompts:
        batch, comparison = torch.tensor([ids]), Comparison(len(ids))
        la, lb = a(batch).logits[0], b(batch).logits[0]
        comparison.add(la, lb)
        found.append(comparison.result())
        numbers.append(la.numel())
    lengths = [len(ids) for ids in prompts]
    squares = sum(d.rms**2 * n for d, n in zip(found, numbers, strict=True))
    return Difference(
        logit=largest([d.logit for d in found]), kl=largest([d.kl for d in found]),
        agreement=sum(d.agreement * n for d, n in zip(found, lengths, strict=True)) / sum(lengths),
        rms=math.sqrt(squares / sum(numbers)),
    )  # fmt: skip
