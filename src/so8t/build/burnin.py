"""Burn-in: W' = blockdiag(R) (W + s B A), and the proof through the whole model (plan 5.3, 5.4; SPEC "Fold").

torch keeps a linear layer's weight as [out, in], so y = R x folds as R W; the plan's W R is another map.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from so8t.build.model.attach import GatedModel, output_projections
from so8t.build.model.rotation import orthogonality_error, rotate
from so8t.build.model.shape import BLOCK
from so8t.core.config import BurnInConfig
from so8t.core.errors import BurnInFailed

PLAN_LOGIT, PLAN_KL = 1e-5, 1e-6


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of gated and folded model. `floor` = distance of the gated model from itself in fp64."""

    name: str
    precision: str
    max_logit_difference: float
    kl: float
    floor: float
    passed: bool
    plan_target: float = PLAN_LOGIT
    argmax_agreement: float = 1.0

    def to_json(self) -> dict[str, Any]:
        plan = self.max_logit_difference < PLAN_LOGIT and self.kl < PLAN_KL
        return asdict(self) | {"plan_target_met": plan}


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
    return _plain_model(model, folded), _largest(errors)


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


@dataclass(frozen=True, slots=True)
class Difference:
    """Distance of two models over all positions of all prompts."""

    logit: float
    kl: float
    agreement: float
    rms: float


@torch.no_grad()
def difference(a: Any, b: Any, prompts: list[list[int]]) -> Difference:
    """Max |logit difference|, largest KL(a || b) of a position, share of equal argmax, RMS; in fp64.

    Raises BurnInFailed when there is nothing to compare on.
    """
    if not prompts or not all(prompts):
        raise BurnInFailed(detail="no prompts to compare on")
    logits, kls, squares, numbers, equal, count = [], [], 0.0, 0, 0, 0
    for ids in prompts:
        batch = torch.tensor([ids])
        la, lb = a(batch).logits[0].double(), b(batch).logits[0].double()
        pa, pb = la.log_softmax(-1), lb.log_softmax(-1)
        logits.append(float((la - lb).abs().max()))
        squares, numbers = squares + float((la - lb).square().sum()), numbers + la.numel()
        kls.append(float((pa.exp() * (pa - pb)).sum(-1).max()))
        equal += int((la.argmax(-1) == lb.argmax(-1)).sum())
        count += len(ids)
    return Difference(_largest(logits), _largest(kls), equal / count, math.sqrt(squares / numbers))


def _largest(values: list[float]) -> float:
    """NaN if one of them is: max() would drop it, and a spoiled model would pass its proof."""
    return float(torch.tensor(values, dtype=torch.float64).max())


def prove(
    model: GatedModel, plain: Any, prompts: list[list[int]], config: BurnInConfig, layer_error: float
) -> list[Check]:
    """All of SPEC's acceptance; raises nothing, the caller refuses on a failed check."""
    gated = _Gated(model)
    exact = gated.cast(torch.float64)
    checks = [Check("layers", "fp64", layer_error, 0.0, config.layer_tolerance, layer_error < config.layer_tolerance)]
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16"), (torch.float16, "fp16")):
        low, folded = gated.cast(dtype), copy.deepcopy(plain).to(dtype)
        between = difference(low, folded, prompts)
        floor = difference(exact, low, prompts)
        if dtype == torch.float32:
            passed = between.kl < config.kl_tolerance and between.logit <= config.floor_factor * max(
                floor.logit, PLAN_LOGIT
            )
        else:
            # RMS: the largest of many rounding errors scatters so much that a right fold fails one time in ten.
            passed = difference(exact, folded, prompts).rms <= config.low_precision_factor * floor.rms
        checks.append(
            Check("model", name, between.logit, between.kl, floor.logit, passed, PLAN_LOGIT, between.agreement)
        )
    norm = _norm_error(model)
    checks.append(Check("norm", "fp64", norm, 0.0, config.layer_tolerance, norm < config.layer_tolerance))
    return checks


def _norm_error(model: GatedModel) -> float:
    """| |R x| / |x| - 1 | follows from orthogonality; measured on R^T R itself."""
    return 0.0 if model.rotations is None else orthogonality_error(model.rotations.matrices(torch.float64).detach())


class _Gated:
    """Copies of the gated model in another precision. Hooks are copied by reference, so they are put on anew."""

    def __init__(self, model: GatedModel) -> None:
        self._model = model

    def cast(self, dtype: torch.dtype) -> nn.Module:
        twin = copy.deepcopy(self._model.peft)
        for layer in output_projections(twin):
            layer._forward_hooks.clear()
        twin = twin.to(dtype)
        if self._model.rotations is not None:
            precise = torch.float64 if dtype == torch.float64 else torch.float32
            for layer, r in zip(
                output_projections(twin), self._model.rotations.matrices(precise).detach(), strict=True
            ):
                layer.register_forward_hook(lambda _m, _i, output, r=r: rotate(output, r))
        return twin.eval()
