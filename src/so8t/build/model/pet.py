"""PET: a penalty on the second difference of the hidden states along time (plan 2.1, A.2)."""

from __future__ import annotations

from typing import Any, Literal

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
    if h.shape[1] < 3:
        return h.new_zeros((), dtype=torch.float32)
    total: Tensor = _Roughness.apply(h, triples(segments), normalisation == "scale-free")  # type: ignore[no-untyped-call]
    return total


class _Roughness(torch.autograd.Function):
    """Sum over the triples in the mask of w |d2 h|^2 with w held constant: 1 / |h|^2 or 1."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, mask: Tensor, scale_free: bool) -> Tensor:
        states = h.float()
        d2 = torch.add(states[:, 2:], states[:, :-2]).sub_(states[:, 1:-1], alpha=2)
        d2.masked_fill_(~mask[..., None], 0.0)  # what stands in padding may be anything
        weight = mask.float()
        if scale_free:
            middle = states[:, 1:-1]
            size = torch.linalg.vecdot(middle, middle).clamp_min(torch.finfo(torch.float32).tiny)
            weight = torch.where(mask, 1 / size, 0.0)
        ctx.save_for_backward(d2, weight)
        ctx.dtype = h.dtype
        total: Tensor = (torch.linalg.vecdot(d2, d2) * weight).sum()
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        d2, weight = ctx.saved_tensors
        slope = d2 * (2 * gradients[0] * weight)[..., None]
        to_h = slope.new_zeros(len(slope), slope.shape[1] + 2, slope.shape[2])
        to_h[:, 2:] = slope
        to_h[:, 1:-1].sub_(slope, alpha=2)
        to_h[:, :-2].add_(slope)
        return to_h.to(ctx.dtype), None, None


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
