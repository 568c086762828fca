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


def pet_loss(h: Tensor, segments: Tensor, normalisation: Normalisation = "scale-free") -> Tensor:
    """Scalar penalty; 0 when no triple is left.

    scale-free: mean over triples of |d2 h|^2 / |h|^2 with the denominator held constant (SPEC M5)
    mean:       mean over triples and features of (d2 h)^2
    literal:    the plan's sum over time and features, divided by the batch size
    """
    if h.shape[1] < 3:
        return h.new_zeros(())
    mask = triples(segments)
    count = mask.sum()
    if not bool(count):
        return h.new_zeros(())
    d2 = second_difference(h.float())[mask]
    if normalisation == "literal":
        return d2.square().sum() / h.shape[0]
    if normalisation == "mean":
        return d2.square().mean()
    size = h.detach().float()[:, 1:-1][mask].square().sum(-1)
    return (d2.square().sum(-1) / size.clamp_min(torch.finfo(torch.float32).tiny)).mean()


def phase(progress: float, config: PetConfig) -> int:
    """Which of the three phases (plan 2.1) a training progress in [0, 1] belongs to."""
    return sum(progress >= boundary for boundary in config.boundaries)


def weight(progress: float, config: PetConfig) -> float:
    """lambda(t): 0 when PET is switched off."""
    return config.lambdas[phase(progress, config)] if config.enabled else 0.0
