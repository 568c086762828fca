"""SO(8) rotation gates: R = exp(A) or Cayley(A) of a learned skew matrix, applied to 8-wide blocks (plan 2.1, A.1).

exp of a skew matrix is orthogonal with det +1 by itself; the plan's SVD step is left out because its gradient is
undefined at equal singular values (SPEC M3). Rotations are made in fp32 whatever the model's dtype, once per
optimizer step for all layers together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from so8t.build.model.exponential import skew_exponential
from so8t.build.model.shape import BLOCK, SKEW_NUMBERS

Parametrisation = Literal["exp", "cayley"]


def _skew_basis() -> Tensor:
    rows, columns = torch.triu_indices(BLOCK, BLOCK, 1)
    basis = torch.zeros(SKEW_NUMBERS, BLOCK * BLOCK)
    index = torch.arange(SKEW_NUMBERS)
    basis[index, rows * BLOCK + columns] = 1.0
    basis[index, columns * BLOCK + rows] = -1.0
    return basis


_BASIS = _skew_basis()


def skew(numbers: Tensor) -> Tensor:
    """[..., 28] free numbers -> [..., 8, 8] with A^T = -A. One matmul: no scatter in the backward pass."""
    basis = _BASIS.to(device=numbers.device, dtype=numbers.dtype)
    return (numbers @ basis).reshape(*numbers.shape[:-1], BLOCK, BLOCK)


def rotation(numbers: Tensor, parametrisation: Parametrisation = "exp") -> Tensor:
    """[..., 28] -> [..., 8, 8] in SO(8), in fp32 or fp64 (lower precisions are raised to fp32).

    exp reaches all of SO(8); Cayley (I - A/2)^-1 (I + A/2), the plan's "Pade", all but rotations by pi.
    """
    if numbers.dtype not in (torch.float32, torch.float64):
        numbers = numbers.float()
    with torch.autocast(numbers.device.type, enabled=False):  # autocast would cast A to bf16 silently
        a = skew(numbers)
        if parametrisation == "exp":
            return skew_exponential(a)
        identity = torch.eye(BLOCK, dtype=a.dtype, device=a.device).expand_as(a)
        cayley: Tensor = torch.linalg.solve(identity - a / 2, identity + a / 2)
        return cayley


def rotate(x: Tensor, r: Tensor) -> Tensor:
    """y_block = R x_block. x [..., blocks * 8], r [blocks, 8, 8] -> the shape and dtype of x."""
    with torch.autocast(x.device.type, enabled=False):  # autocast would return bf16 for an fp32 x
        rotated: Tensor = _Rotate.apply(x.contiguous(), r)  # type: ignore[no-untyped-call]
    return rotated


class _Rotate(torch.autograd.Function):
    """Up to four rotations at a time as one block-diagonal 32 x 32 matrix: 8 are too few for a matrix kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, r: Tensor) -> Tensor:
        joined = _join(r.to(x.dtype))
        ctx.save_for_backward(x, joined)
        ctx.dtype = r.dtype
        y = torch.empty_like(x)
        torch.bmm(_columns(x, joined), joined.mT, out=_columns(y, joined))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, joined = ctx.saved_tensors
        g = gradients[0].contiguous()
        to_x, to_r = None, None
        if ctx.needs_input_grad[0]:
            to_x = torch.empty_like(g)
            torch.bmm(_columns(g, joined), joined, out=_columns(to_x, joined))
        if ctx.needs_input_grad[1]:
            to_r = _split(torch.bmm(_columns(g, joined).mT, _columns(x, joined))).to(ctx.dtype)
        return to_x, to_r


def _columns(x: Tensor, joined: Tensor) -> Tensor:
    """[..., features] -> [groups, tokens, width], a view."""
    groups, width = joined.shape[:2]
    return x.view(-1, groups, width).transpose(0, 1)


def _join(r: Tensor) -> Tensor:
    """[blocks, 8, 8] -> [groups, 8 k, 8 k], block-diagonal."""
    k = next(n for n in (4, 2, 1) if len(r) % n == 0)
    joined = r.new_zeros(len(r) // k, k, BLOCK, k, BLOCK)
    index = torch.arange(k, device=r.device)
    joined[:, index, :, index, :] = r.view(-1, k, BLOCK, BLOCK).transpose(0, 1)
    return joined.view(-1, k * BLOCK, k * BLOCK)


def _split(joined: Tensor) -> Tensor:
    """The diagonal blocks of [groups, 8 k, 8 k] -> [blocks, 8, 8]."""
    k = joined.shape[-1] // BLOCK
    index = torch.arange(k, device=joined.device)
    blocks = joined.view(-1, k, BLOCK, k, BLOCK)[:, index, :, index, :]
    return blocks.transpose(0, 1).reshape(-1, BLOCK, BLOCK)


def orthogonality_error(r: Tensor) -> float:
    """max |R^T R - I| over all blocks."""
    identity = torch.eye(BLOCK, dtype=r.dtype, device=r.device)
    return float((r.mT @ r - identity).abs().max())


def determinant_error(r: Tensor) -> float:
    """max |det R - 1| over all blocks."""
    return float((torch.linalg.det(r) - 1).abs().max())


def angles(r: Tensor) -> Tensor:
    """[layers, blocks, 8, 8] -> [layers]: how far a gate turns, in radians; 0 = no turn, pi = half a turn.

    2 asin(|R - I| / |2 I|): the angle of a rotation whose four planes all turn alike, precise down to no turn at all.
    """
    identity = torch.eye(BLOCK, dtype=r.dtype, device=r.device)
    chord = (r - identity).square().sum((-1, -2)).mean(-1).sqrt() / (2 * BLOCK**0.5)
    return 2 * torch.asin(chord.clamp(max=1.0))


class Rotations(nn.Module):
    """The gates of a whole model: skew [layers, hidden / 8, 28], zero at the start (R = I).

    Between refresh() and pull_gradients() the layers use detached leaves, so that the exponential is
    differentiated once per optimizer step and not once per micro-batch and layer.
    """

    def __init__(self, layers: int, hidden: int, parametrisation: Parametrisation = "exp") -> None:
        super().__init__()
        if hidden % BLOCK:
            raise ValueError(f"hidden size {hidden} is not a multiple of {BLOCK}")
        self.skew = nn.Parameter(torch.zeros(layers, hidden // BLOCK, SKEW_NUMBERS))
        self.parametrisation: Parametrisation = parametrisation
        self._stacked: Tensor | None = None
        self.leaves: list[Tensor] = []
        self.refresh()

    def matrices(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """[layers, blocks, 8, 8] rotations, differentiable."""
        return rotation(self.skew.to(dtype), self.parametrisation)

    def refresh(self) -> None:
        """Recompute all rotations from the current parameters; call after every optimizer step."""
        self._stacked = self.matrices()
        self.leaves = [r.detach().requires_grad_(self.skew.requires_grad) for r in self._stacked]

    def pull_gradients(self) -> None:
        """Add the gradients collected on the leaves to skew.grad; a layer that saw no data counts as zero."""
        if self._stacked is None or not self._stacked.requires_grad:
            return
        grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in self.leaves]
        self._stacked.backward(torch.stack(grads))  # type: ignore[no-untyped-call]
        self._stacked = None

    def hook(self, layer: int) -> Callable[[nn.Module, object, Tensor], Tensor]:
        """Forward hook for one layer's attention output projection."""

        def gate(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            return rotate(output, self.leaves[layer])

        return gate

    def attach(self, projections: list[nn.Module]) -> list[RemovableHandle]:
        """Put one gate behind each projection, in layer order."""
        return [p.register_forward_hook(self.hook(i)) for i, p in enumerate(projections)]
