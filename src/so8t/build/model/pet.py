"""PET: a penalty on the second difference of the hidden states along time (plan 2.1, A.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from so8t.core.config import PetConfig

Normalisation = Literal["scale-free", "mean", "literal"]


def second_difference(h: Tensor) -> Tensor:
    """h [batch, time, features] -> h[t+2] - 2 h[t+1] + h[t], [batch, time - 2, features]."""
    return h[:, 2:] - 2 * h[:, 1:-1] + h[:, :-2]


def triples(segments: Tensor) -> Tensor:
    """segments [batch, time] (0 = padding, else a document number) -> [batch, time - 2] bool.

    True where t, t+1 and t+2 belong to one document: padding and borders are never smoothed over.
    """
    a, b, c = segments[:, :-2], segments[:, 1:-1], segments[:, 2:]
    return (a != 0) & (a == b) & (b == c)


def pet_sum(h: Tensor, segments: Tensor, normalisation: Normalisation = "scale-free") -> Tensor:
    """What `pet_loss` is the mean of, summed: micro-batches of any size add up to the same loss. Scalar, fp32."""
    mask = triples(segments) if h.shape[1] > 2 else segments.new_zeros((len(segments), 0), dtype=torch.bool)
    d2 = second_difference(h.float())[mask] if bool(mask.any()) else h.new_zeros((0, h.shape[-1])).float()
    squares = d2.square().sum(-1)
    if normalisation == "scale-free":
        size = h.detach()[:, 1:-1][mask].float().square().sum(-1) if len(squares) else squares
        squares = squares / size.clamp_min(torch.finfo(torch.float32).tiny)
    return squares.sum()


def pet_count(triples: int, rows: int, features: int, normalisation: Normalisation) -> int:
    """What the sum is divided by: triples; triples x features; or, as the plan has it, the samples of the batch."""
    return {"scale-free": triples, "mean": triples * features, "literal": rows}[normalisation]


def pet_loss(h: Tensor, segments: Tensor, normalisation: Normalisation = "scale-free") -> Tensor:
    """Scalar penalty of one batch; 0 when no triple is left.

    scale-free: mean over triples of |d2 h|^2 / |h|^2 with the denominator held constant (SPEC M5)
    mean:       mean over triples and features of (d2 h)^2
    literal:    the plan's sum over time and features, divided by the batch size
    """
    found = int(triples(segments).sum()) if h.shape[1] > 2 else 0
    return pet_sum(h, segments, normalisation) / max(1, pet_count(found, len(h), h.shape[-1], normalisation))


def phase(progress: float, config: PetConfig) -> int:
    """Which of the three phases (plan 2.1) a training progress in [0, 1] belongs to."""
    return sum(progress >= boundary for boundary in config.boundaries)


def weight(progress: float, config: PetConfig) -> float:
    """lambda(t): 0 when PET is switched off."""
    return config.lambdas[phase(progress, config)] if config.enabled else 0.0
