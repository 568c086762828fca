"""What the gates of a run do: planes, angles, lengths; and what other ways of making a rotation would do to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rotation_page.finished import Finished
from so8t.build.model.attach import GatedModel, output_projections
from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.rotation import (
    Parametrisation,
    angles,
    determinant_error,
    orthogonality_error,
    rotate,
    rotation,
    skew,
)
from so8t.build.model.shape import BLOCK
from so8t.build.train.dataset import Batch

MOMENTS = 20  # that t in [0, 1] is cut into
FARTHEST = 10  # t that a path is followed to
MICRO_BATCHES = (0, 2)  # first sample of each
STRETCHED = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Plane:
    """One of the four planes in which a block turns: `degrees` at t = 1 and the `path` of a vector's share in it.

    path: (along where the share starts, across it towards the turn) for t = 0, 1 / MOMENTS, 2 / MOMENTS, ...
    """

    degrees: float
    path: list[tuple[float, float]]

    @property
    def learned(self) -> list[tuple[float, float]]:
        """The path up to t = 1: what the gate does."""
        return self.path[: MOMENTS + 1]

    @property
    def length(self) -> float:
        return math.hypot(*self.path[0])


@dataclass(frozen=True, slots=True)
class Turning:
    """Everything measured of the gates. degrees: [layers][blocks]."""

    degrees: list[list[float]]
    largest_plane: float
    at: tuple[int, int]
    planes: list[Plane]
    orthogonality: float
    determinant: float
    stretch: dict[str, float]
    cayley: float
    svd_broken: float
    exp_broken: float
    leaf_difference: float

    @property
    def mean(self) -> float:
        every = [d for row in self.degrees for d in row]
        return sum(every) / len(every)

    @property
    def largest(self) -> float:
        return max(d for row in self.degrees for d in row)


def plane_degrees(r: Tensor) -> Tensor:
    """[..., 8, 8] rotations -> [..., 4] degrees in their planes, the largest first; all in [0, 180]."""
    turned = torch.linalg.eigvals(r).angle().abs()  # each plane gives e^(i theta) and e^(-i theta)
    return torch.rad2deg(turned.sort(-1, descending=True).values[..., ::2])


def block_degrees(r: Tensor) -> Tensor:
    """[layers, blocks, 8, 8] -> [layers, blocks]: the angle that training records, of each block alone."""
    layers, blocks = r.shape[:2]
    return torch.rad2deg(angles(r.reshape(-1, 1, BLOCK, BLOCK))).reshape(layers, blocks)


def planes(numbers: Tensor, x: Tensor, parametrisation: Parametrisation = "exp", farthest: int = 1) -> list[Plane]:
    """How x [8] moves while the 28 numbers of a block are multiplied by t = 0 ... farthest, plane by plane.

    i A is Hermitian: its eigenvectors u + i w span the planes that no rotation exp(t A) or Cayley(t A) leaves.
    """
    _, vectors = torch.linalg.eigh(1j * skew(numbers.double()))
    t = torch.linspace(0, farthest, farthest * MOMENTS + 1, dtype=torch.float64)
    moved = rotation(t[:, None] * numbers.double(), parametrisation) @ x.double()
    found = [_plane(vectors[:, k], x.double(), moved) for k in range(BLOCK - 1, BLOCK // 2 - 1, -1)]
    return sorted(found, key=lambda p: -p.degrees)


def _plane(vector: Tensor, x: Tensor, moved: Tensor) -> Plane:
    u, w = math.sqrt(2) * vector.real, math.sqrt(2) * vector.imag
    c, s = u @ x, w @ x
    length = torch.hypot(c, s).clamp_min(1e-300)
    along, across = (c * u + s * w) / length, (c * w - s * u) / length
    if moved[MOMENTS] @ across < 0:
        across = -across
    path = [(float(m @ along), float(m @ across)) for m in moved]
    return Plane(math.degrees(math.atan2(path[MOMENTS][1], path[MOMENTS][0])), path)


def measure(run: Finished) -> Turning:
    parametrisation = run.train.gate.parametrisation
    r = rotation(run.skew, parametrisation)
    model = run.gated()
    outputs = attention_outputs(model, run.prompts[0])
    per_plane = plane_degrees(r)
    place = int(per_plane[..., 0].argmax())
    layer, block = divmod(place, r.shape[1])
    farthest = max(1, min(FARTHEST, int(150 / max(1e-9, float(per_plane.max())))))  # not all the way round
    x = outputs[layer][-1].reshape(-1, BLOCK)[block].double()
    return Turning(
        degrees=block_degrees(r).tolist(),
        largest_plane=float(per_plane.max()),
        at=(layer, block),
        planes=planes(run.skew[layer, block], x / x.norm(), parametrisation, farthest),
        orthogonality=orthogonality_error(r),
        determinant=determinant_error(r),
        stretch={name: stretch(outputs, r, dtype) for name, dtype in STRETCHED.items()},
        cayley=float((rotation(run.skew, "exp") - rotation(run.skew, "cayley")).abs().max()),
        svd_broken=broken(run.skew, orthogonalise=True),
        exp_broken=broken(run.skew, orthogonalise=False),
        leaf_difference=leaf_difference(run, model),
    )


@torch.no_grad()
def attention_outputs(model: GatedModel, ids: list[int]) -> list[Tensor]:
    """What each attention output projection gives before its gate, [time, hidden] a layer."""
    seen: list[Tensor] = []

    def look(_module: Any, _inputs: Any, output: Tensor) -> None:
        seen.append(output[0])

    hooks = [p.register_forward_hook(look, prepend=True) for p in output_projections(model.peft)]
    model.hidden(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return seen


def stretch(outputs: list[Tensor], r: Tensor, dtype: torch.dtype) -> float:
    """max | |R x| / |x| - 1 | over all tokens and blocks of real attention outputs, computed in `dtype`."""
    worst = 0.0
    for x, layer in zip(outputs, r, strict=True):
        low = x.to(dtype)
        lengths = [v.double().reshape(-1, BLOCK).norm(dim=-1) for v in (low, rotate(low, layer))]
        worst = max(worst, float((lengths[1] / lengths[0] - 1).abs().max()))
    return worst


def broken(numbers: Tensor, orthogonalise: bool) -> float:
    """Share of blocks whose gradient is not finite, in fp32, back through exp and (plan 2.1) an SVD after it."""
    free = numbers.float().reshape(-1, numbers.shape[-1]).requires_grad_()
    r = torch.matrix_exp(skew(free))
    if orthogonalise:
        u, _, vh = torch.linalg.svd(r)
        r = u @ vh
    slope = torch.randn(r.shape, generator=torch.Generator().manual_seed(8))
    (gradient,) = torch.autograd.grad((r * slope).sum(), free)
    return float((~gradient.isfinite().all(-1)).double().mean())


def leaf_difference(run: Finished, model: GatedModel) -> float:
    """|difference| / |gradient| of the skew numbers over two micro-batches: through leaves, and straight through."""
    gates = model.rotations
    assert gates is not None
    gates.refresh()
    for part in MICRO_BATCHES:
        task_loss(model, run.batch(part, 2)).backward()  # type: ignore[no-untyped-call]
    gates.pull_gradients()
    through_leaves, gates.skew.grad = gates.skew.grad, None
    for part in MICRO_BATCHES:
        gates.leaves = list(gates.matrices())
        task_loss(model, run.batch(part, 2)).backward()  # type: ignore[no-untyped-call]
    straight = gates.skew.grad
    assert through_leaves is not None and straight is not None
    return float((through_leaves - straight).norm() / straight.norm())


def task_loss(model: GatedModel, batch: Batch) -> Tensor:
    """Cross entropy, summed over the tokens that count."""
    kept, labels = shift(model.hidden(batch.input_ids), batch.labels)
    return smoothed_cross_entropy(kept, labels, model.head.linear, 0.0, None, model.head.softcap)
