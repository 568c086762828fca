"""exp of many small skew matrices by scaling and squaring, with its adjoint by hand: bmm alone, no loop over matrices.

torch.matrix_exp differentiates through an exponential of twice the size; here the backward pass walks the few products
of the forward pass (Higham, Functions of Matrices, chapter 10). fp32 only: the fold is made in fp64 by torch's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

SCALED = 0.5  # 1-norm after scaling: there the Taylor series of order 8 is exact to fp32's last digit


class SkewExponential(torch.autograd.Function):
    """a [n, d, d] with a^T = -a -> exp(a) [n, d, d]."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        norm = float(a.abs().sum(-1).amax()) if a.numel() else 0.0
        ctx.squarings = max(0, math.ceil(math.log2(norm / SCALED))) if SCALED < norm < math.inf else 0
        a = a / 2**ctx.squarings
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        a2 = torch.bmm(a, a)
        a3, a4 = torch.bmm(a2, a), torch.bmm(a2, a2)
        high = (a4 / 40320).add_(a3, alpha=1 / 5040).add_(a2, alpha=1 / 720).add_(a, alpha=1 / 120)
        high.add_(identity, alpha=1 / 24)
        r = torch.baddbmm(a3.div(6).add_(a2, alpha=0.5).add_(a).add_(identity), a4, high)
        roots = []
        for _ in range(ctx.squarings):
            roots.append(r)
            r = torch.bmm(r, r)
        ctx.save_for_backward(a, a2, a3, a4, high, *roots)
        return r

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Uses a^T = -a, so that powers are transposed by a sign."""
        g, (a, a2, _a3, a4, high, *roots) = gradients[0], ctx.saved_tensors
        for r in reversed(roots):  # r r
            g = torch.bmm(g, r.mT).baddbmm_(r.mT, g)
        to_high = torch.bmm(a4, g)
        to_a4 = torch.bmm(g, high.mT).add_(to_high, alpha=1 / 40320)
        to_a3 = (g / 6).add_(to_high, alpha=1 / 5040)
        to_a2 = (g / 2).add_(to_high, alpha=1 / 720)
        to_a2.baddbmm_(to_a4, a2).baddbmm_(a2, to_a4)  # a4 = a2 a2
        to_a2.baddbmm_(to_a3, a, alpha=-1)  # a3 = a2 a
        to_a = (g + to_high / 120).baddbmm_(a2, to_a3)
        to_a.baddbmm_(to_a2, a, alpha=-1).baddbmm_(a, to_a2, alpha=-1)  # a2 = a a
        return torch.div(to_a, 2**ctx.squarings)


def skew_exponential(a: Tensor) -> Tensor:
    """[..., d, d] skew -> [..., d, d] rotations of the same dtype."""
    if a.dtype != torch.float32:
        exact: Tensor = torch.matrix_exp(a)
        return exact
    result: Tensor = SkewExponential.apply(a.reshape(-1, *a.shape[-2:]))  # type: ignore[no-untyped-call]
    return result.reshape(a.shape)
