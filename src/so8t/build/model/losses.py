"""Label-smoothed cross entropy that never holds tokens x vocabulary in memory (plan 2.2, SPEC M7).

Logits are made for a few tokens at a time and turned into their own gradient on the spot, so nothing of that size is
kept for the backward pass and nothing is computed twice (the idea of Liger-Kernel's fused linear cross entropy,
arXiv 2410.10989, with weights, smoothing and soft caps).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from so8t.build.model.shape import chunk_tokens

IGNORE = -100


def shift(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The state at t predicts the token at t + 1. hidden [B, T, D], labels [B, T] -> [N, D], [N] of kept positions."""
    target = labels[:, 1:]
    kept = target != IGNORE
    return hidden[:, :-1][kept], target[kept]


def smoothed_cross_entropy(
    hidden: Tensor, labels: Tensor, head: nn.Linear, smoothing: float, weights: Tensor | None = None,
    softcap: float = 0.0,
) -> Tensor:  # fmt: skip
    """Sum over tokens of w ((1 - eps) nll + eps mean_k nll_k). hidden [N, D], labels [N], weights [N] -> fp32 scalar.

    `softcap` c > 0 bends the logits to c tanh(z / c) as Gemma 2 does.
    """
    w = torch.ones(labels.shape, device=hidden.device) if weights is None else weights
    loss: Tensor = _Smoothed.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, labels, w, smoothing, softcap
    )
    return loss


class _Smoothed(torch.autograd.Function):
    """The gradients are made in the forward pass and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, matrix: Tensor, bias: Tensor | None, labels: Tensor, weights: Tensor,
        smoothing: float, softcap: float,
    ) -> Tensor:  # fmt: skip
        wanted = ctx.needs_input_grad
        to_hidden = torch.empty_like(hidden) if wanted[0] else None
        to_matrix = torch.zeros_like(matrix, dtype=torch.float32) if wanted[1] else None
        to_bias = torch.zeros_like(bias, dtype=torch.float32) if wanted[2] and bias is not None else None
        total = hidden.new_zeros((), dtype=torch.float32)
        step = chunk_tokens(matrix.shape[0])
        for start in range(0, labels.numel(), step):
            part = slice(start, start + step)
            logits = F.linear(hidden[part], matrix, bias).float()
            total += _loss_into_gradient(logits, labels[part], weights[part].float(), smoothing, softcap, any(wanted))
            slope = logits.to(hidden.dtype)  # what was logits is now d loss / d logits
            if to_hidden is not None:
                torch.mm(slope, matrix, out=to_hidden[part])
            if to_matrix is not None:
                to_matrix += slope.T @ hidden[part]
            if to_bias is not None:
                to_bias += logits.sum(0)
        ctx.save_for_backward(to_hidden, to_matrix, to_bias)
        ctx.dtypes = matrix.dtype, None if bias is None else bias.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, to_matrix, to_bias = ctx.saved_tensors
        matrix_dtype, bias_dtype = ctx.dtypes
        scale = outputs[0]
        return (
            None if to_hidden is None else to_hidden * scale.to(to_hidden.dtype),
            None if to_matrix is None else (to_matrix * scale).to(matrix_dtype),
            None if to_bias is None else (to_bias * scale).to(bias_dtype),
            None, None, None, None,
        )  # fmt: skip


def _loss_into_gradient(
    logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float, softcap: float, gradient: bool
) -> Tensor:
    """Weighted loss of a chunk [n, V]; overwrites `logits` with d loss / d logits when `gradient`."""
    bend = None
    if softcap:
        logits.div_(softcap).tanh_()
        bend = 1 - logits.square() if gradient else None
        logits.mul_(softcap)
    index, vocabulary = labels[:, None], logits.shape[-1]
    chosen, mean, top = logits.gather(1, index)[:, 0], logits.mean(-1), logits.amax(-1)
    sums = logits.sub_(top[:, None]).exp_().sum(-1)
    loss = weights * (sums.log() + top - (1 - smoothing) * chosen - smoothing * mean)
    if gradient:
        logits.mul_((weights / sums)[:, None]).sub_((weights * (smoothing / vocabulary))[:, None])
        logits.scatter_add_(1, index, (-(1 - smoothing) * weights)[:, None])
        if bend is not None:
            logits.mul_(bend)
    return loss.sum()
