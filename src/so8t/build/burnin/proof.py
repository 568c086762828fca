"""The proof of a burn-in through the whole model: gated and folded, in three precisions (plan 5.4; SPEC "Fold")."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from so8t.build.burnin.fold import largest
from so8t.build.model.attach import GatedModel, output_projections
from so8t.build.model.rotation import orthogonality_error, rotate
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
    return Difference(largest(logits), largest(kls), equal / count, math.sqrt(squares / numbers))


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
