"""The plan's gate taken at its word: in every layer and every forward pass matrix_exp, then SVD (plan 2.1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from so8t.build.model.attach import output_projections
from so8t.build.model.rotation import rotate
from so8t.build.model.shape import BLOCK


def literal_rotation(matrices: Tensor, orthogonalise: bool = True) -> Tensor:
    """[blocks, 8, 8] free matrices -> rotations, as generate_rotation_matrix of the plan makes them."""
    r: Tensor = torch.matrix_exp(matrices - matrices.mT)
    if not orthogonalise:
        return r
    u, _, vh = torch.linalg.svd(r)  # torch.svd of the plan is the same, deprecated
    orthogonal: Tensor = u @ vh
    return orthogonal


class LiteralGate(nn.Module):
    """One layer's rotations, made anew at every call."""

    def __init__(self, hidden: int, orthogonalise: bool = True) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.zeros(hidden // BLOCK, BLOCK, BLOCK))
        self.orthogonalise = orthogonalise
        # All singular values are 1, so the SVD's gradient is 0 / 0: without this every step would end the run.
        self.matrices.register_hook(lambda gradient: gradient.nan_to_num(0.0, 0.0, 0.0))  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        return rotate(x, literal_rotation(self.matrices, self.orthogonalise))


def attach_literal(peft: Any, hidden: int, orthogonalise: bool = True) -> None:
    """A gate behind every attention output projection, found by the trainer among the model's own parameters."""
    for projection in output_projections(peft):
        gate = LiteralGate(hidden, orthogonalise)
        projection.add_module("literal_gate", gate)
        projection.register_forward_hook(lambda _module, _inputs, output, gate=gate: gate(output))
