"""Burn-in: W' = blockdiag(R) (W + s B A), LoRA first (plan 5.3; SPEC "Fold").

torch keeps a linear layer's weight as [out, in], so y = R x folds as R W; the plan's W R is another map.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from so8t.build.model.attach import GatedModel, output_projections
from so8t.build.model.rotation import rotate
from so8t.build.model.shape import BLOCK
from so8t.core.errors import BurnInFailed


def fold_rotation(weight: Tensor, r: Tensor) -> Tensor:
    """Turn every 8-row block of an [out, in] weight: r [out / 8, 8, 8] -> same shape and dtype as weight."""
    blocks = weight.reshape(r.shape[0], BLOCK, -1)
    return torch.bmm(r.to(weight.dtype), blocks).reshape(weight.shape)


def merged_weight(layer: Any) -> Tensor:
    """W + s B A of a PEFT linear layer in fp64; the plain weight of any other linear layer."""
    if not hasattr(layer, "base_layer"):
        plain: Tensor = layer.weight.detach().double()
        return plain
    weight: Tensor = layer.base_layer.weight.detach().double()
    for adapter in layer.active_adapters:
        a, b = layer.lora_A[adapter].weight.detach().double(), layer.lora_B[adapter].weight.detach().double()
        weight = weight + layer.scaling[adapter] * (b @ a)
    return weight


@torch.no_grad()
def fold(model: GatedModel) -> tuple[Any, float]:
    """A plain transformers model with LoRA merged and rotations folded, and the largest per-layer fp64 error.

    `model` must be in full precision; it is left as it is. Raises BurnInFailed when no gate or not every gate folds.
    """
    rotations = None if model.rotations is None else model.rotations.matrices(torch.float64)
    layers = output_projections(model.peft)
    if rotations is not None and len(rotations) != len(layers):
        raise BurnInFailed(detail=f"{len(rotations)} gates, {len(layers)} layers")
    places = {id(layer): i for i, layer in enumerate(layers)}
    folded: dict[str, Tensor] = {}  # by parameter name
    errors = [0.0]
    for name, module in model.causal.named_modules():
        if not (hasattr(module, "base_layer") or id(module) in places):
            continue
        weight = merged_weight(module)
        if rotations is not None and id(module) in places:
            r = rotations[places[id(module)]]
            plain, weight = weight, fold_rotation(weight, r)
            errors.append(_layer_error(plain, weight, r))
            bias = getattr(module, "base_layer", module).bias
            if bias is not None:  # y = R (W x + b)
                folded[f"{name}.bias"] = fold_rotation(bias.double()[:, None], r)[:, 0]
        folded[f"{name}.weight"] = weight
    if not folded or (rotations is not None and not places):
        raise BurnInFailed(detail="nothing was folded")
    return _plain_model(model, folded), largest(errors)


def _layer_error(plain: Tensor, folded: Tensor, r: Tensor) -> float:
    """max |R (W x) - W' x| over random x of unit variance, in fp64."""
    x = torch.randn(16, plain.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return float((rotate(F.linear(x, plain), r) - F.linear(x, folded)).abs().max())


def _plain_model(model: GatedModel, folded: dict[str, Tensor]) -> Any:
    """The same architecture without PEFT and without hooks, with the folded weights put in."""
    source = model.causal
    plain = type(source)(copy.deepcopy(source.config)).to(next(source.parameters()).dtype)
    state = {}
    for name, tensor in source.state_dict().items():
        if ".lora_" in name:
            continue
        clean = name.replace(".base_layer.", ".")
        state[clean] = folded[clean].to(tensor.dtype) if clean in folded else tensor.clone()
    missing, unexpected = plain.load_state_dict(state, strict=False)
    if unexpected or [m for m in missing if m != "lm_head.weight"]:
        raise BurnInFailed(detail=f"state: missing {missing[:3]}, unexpected {unexpected[:3]}")
    plain.tie_weights()
    if any(m._forward_hooks for m in plain.modules()):
        raise BurnInFailed(detail="a gate is left over")
    return plain.eval()


def largest(values: list[float]) -> float:
    """NaN if one of them is: max() would drop it, and a spoiled model would pass its proof."""
    return float(torch.tensor(values, dtype=torch.float64).max())
