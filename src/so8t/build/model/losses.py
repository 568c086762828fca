"""Label-smoothed cross entropy that never holds tokens x vocabulary in memory (plan 2.2, SPEC M7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

IGNORE = -100
CHUNK = 1024


def shift(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The state at t predicts the token at t + 1. hidden [B, T, D], labels [B, T] -> [N, D], [N] of kept positions."""
    target = labels[:, 1:]
    kept = target != IGNORE
    return hidden[:, :-1][kept], target[kept]


def smoothed_cross_entropy(
    hidden: Tensor, labels: Tensor, head: nn.Linear, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Sum over tokens of w ((1 - eps) nll + eps mean_k nll_k). hidden [N, D], labels [N] -> scalar fp32 sum.

    Logits are made chunk by chunk and again in the backward pass, so memory is CHUNK x vocabulary at most.
    """
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, labels.numel(), CHUNK):
        part = slice(start, start + CHUNK)
        w = None if weights is None else weights[part]
        args = (hidden[part], labels[part], head, smoothing, w)
        total = total + (checkpoint(_chunk, *args, use_reentrant=False) if torch.is_grad_enabled() else _chunk(*args))
    return total


def _chunk(hidden: Tensor, labels: Tensor, head: nn.Linear, smoothing: float, weights: Tensor | None) -> Tensor:
    loss = F.cross_entropy(head(hidden).float(), labels, label_smoothing=smoothing, reduction="none")
    return loss.sum() if weights is None else (loss * weights).sum()
