"""Burn-in: W' = blockdiag(R) (W + s B A), LoRA first (plan 5.3; SPEC "Fold").

torch keeps a linear layer's weight as [out, in], so y = R x folds as R W; the plan's W R is another map. Each tensor is
made when it is asked for, in fp64, so that the fold of a model takes the memory of its largest projection.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from so8t.build.burnin.skeleton import require_plain
from so8t.build.burnin.weights import Held, Weights, pieces
from so8t.build.model.attach import GatedModel, output_projections
from so8t.build.model.rotation import rotate
from so8t.build.model.shape import BLOCK
from so8t.core.errors import BurnInFailed

Addition = tuple[Tensor, Tensor, float]  # A [rank, in], B [out, rank], scale


def fold_rotation(weight: Tensor, r: Tensor) -> Tensor:
    """Turn every 8-row block of an [out, in] weight: r [out / 8, 8, 8] -> same shape and dtype as weight."""
    blocks = weight.reshape(r.shape[0], BLOCK, -1)
    return torch.bmm(r.to(weight.dtype), blocks).reshape(weight.shape)


def merge(weight: Tensor, additions: Iterable[Addition]) -> Tensor:
    """W + s B A in fp64."""
    weight = weight.double()
    for a, b, scale in additions:
        weight = (b.double() @ a.double()).mul_(scale).add_(weight)
    return weight


def merged_weight(layer: Any) -> Tensor:
    """W + s B A of a PEFT linear layer in fp64; the plain weight of any other linear layer."""
    if not hasattr(layer, "base_layer"):
        plain: Tensor = layer.weight.detach().double()
        return plain
    pairs = ((layer.lora_A[n].weight.detach(), layer.lora_B[n].weight.detach(), n) for n in layer.active_adapters)
    return merge(layer.base_layer.weight.detach(), ((a, b, layer.scaling[n]) for a, b, n in pairs))


class Folded:
    """The tensors of the plain model, from what was trained: its modules, and its weights wherever they lie.

    Raises BurnInFailed when no gate or not every gate folds.
    """

    def __init__(self, model: GatedModel, weights: Weights) -> None:
        layers = output_projections(model.peft)
        self._rotations = None if model.rotations is None else model.rotations.matrices(torch.float64).detach()
        if self._rotations is not None and len(self._rotations) != len(layers):
            raise BurnInFailed(detail=f"{len(self._rotations)} gates, {len(layers)} layers")
        places = {id(layer): i for i, layer in enumerate(layers)} if self._rotations is not None else {}
        named = dict(model.causal.named_modules())
        self._weights = weights
        self._gates = {name: places[id(m)] for name, m in named.items() if id(m) in places}
        self._lora = {
            name: {adapter: float(m.scaling[adapter]) for adapter in m.active_adapters}
            for name, m in named.items()
            if hasattr(m, "base_layer")
        }
        if not (self._gates or self._lora) or (self._rotations is not None and not self._gates):
            raise BurnInFailed(detail="nothing was folded")
        self._errors: dict[str, float] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        return self._weights.shape(self._before(name))

    def pieces(self, name: str) -> Iterator[Tensor]:
        """Whole and in fp64 where the fold changes it, else as it is stored and in pieces."""
        module, _, kind = name.rpartition(".")
        if module in self._gates or (module in self._lora and kind == "weight"):
            yield self.tensor(name)
        else:
            yield from pieces(self._weights, self._before(name))

    def tensor(self, name: str) -> Tensor:
        """In fp64 where the fold changes it, else as it is stored."""
        module, _, kind = name.rpartition(".")
        tensor = self._weights.tensor(self._before(name))
        if kind == "weight" and module in self._lora:
            tensor = merge(tensor, self._additions(module))
        if module not in self._gates or self._rotations is None:
            return tensor
        r = self._rotations[self._gates[module]]
        if kind == "bias":  # y = R (W x + b)
            return fold_rotation(tensor.double()[:, None], r)[:, 0]
        plain = tensor.double()
        folded = fold_rotation(plain, r)
        self._errors[module] = _layer_error(plain, folded, r)
        return folded

    def largest_error(self) -> float:
        """max |R (W x) - W' x| of all gates folded so far. Raises BurnInFailed when one has not been."""
        if self._errors.keys() != self._gates.keys():
            raise BurnInFailed(detail=f"{len(self._errors)} / {len(self._gates)} gates folded")
        return largest([0.0, *self._errors.values()])

    def _before(self, name: str) -> str:
        """A plain tensor's name among what was trained: PEFT's spelling."""
        module, _, kind = name.rpartition(".")
        return f"{module}.base_layer.{kind}" if module in self._lora else name

    def _additions(self, module: str) -> list[Addition]:
        return [
            (
                self._weights.tensor(f"{module}.lora_A.{adapter}.weight"),
                self._weights.tensor(f"{module}.lora_B.{adapter}.weight"),
                scale,
            )
            for adapter, scale in self._lora[module].items()
        ]


@torch.no_grad()
def fold(model: GatedModel) -> tuple[Any, float]:
    """A plain transformers model with LoRA merged and rotations folded, and the largest per-layer fp64 error.

    For a model that is in memory, in full precision; it is left as it is. Raises BurnInFailed when no gate or not
    every gate folds.
    """
    folded = Folded(model, Held.by(model.causal))
    source = model.causal
    plain = type(source)(copy.deepcopy(source.config)).to(next(source.parameters()).dtype)
    state = {name: folded.tensor(name).to(tensor.dtype) for name, tensor in plain.state_dict().items()}
    plain.load_state_dict(state)
    plain.tie_weights()
    require_plain(plain)
    return plain.eval(), folded.largest_error()


def _layer_error(plain: Tensor, folded: Tensor, r: Tensor) -> float:
    """max |R (W x) - W' x| over random x of unit variance, in fp64."""
    x = torch.randn(16, plain.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return float((rotate(F.linear(x, plain), r) - F.linear(x, folded)).abs().max())


def largest(values: list[float]) -> float:
    """NaN if one of them is: max() would drop it, and a spoiled model would pass its proof."""
    return float(torch.tensor(values, dtype=torch.float64).max())
