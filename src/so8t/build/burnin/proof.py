"""The proof of a burn-in through the whole model: gated and folded, in three precisions (plan 5.4; SPEC "Fold").

All seven models (the gated one in fp64 as reference; gated and folded in fp32, bf16 and fp16) go through the same
prompts together, one decoder layer at a time, and their logits are compared in slices of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from so8t.build.burnin.comparison import Comparison, Difference, difference
from so8t.build.burnin.passage import Batch, Passage, Streamed, batches, cast
from so8t.build.burnin.weights import Held, Weights
from so8t.build.model.attach import GatedModel
from so8t.build.model.rotation import orthogonality_error
from so8t.core.config import BurnInConfig
from so8t.core.errors import BurnInFailed

__all__ = ["PLAN_KL", "PLAN_LOGIT", "Check", "Difference", "difference", "prove"]

PLAN_LOGIT, PLAN_KL = 1e-5, 1e-6
SLICE = 2**22  # numbers of each model's logits, and of its head, that exist at a time: 32 MB in fp64
LOW = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
EXACT = torch.float64
NOTHING = Difference(0.0, 0.0, 0.0, 0.0)  # no position was compared

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of gated and folded model. `floor` = distance of the gated model from itself in fp64.

    overflows: the model leaves the range of fp16 before anything is folded (Gemma does), so that there is nothing to
    compare with and the check says nothing; fp32 and bf16, whose range is fp32's, must always hold.
    """

    name: str
    precision: str
    max_logit_difference: float
    kl: float
    floor: float
    passed: bool
    plan_target: float = PLAN_LOGIT
    argmax_agreement: float = 1.0
    overflows: bool = False

    def to_json(self) -> dict[str, Any]:
        plan = not self.overflows and self.max_logit_difference < PLAN_LOGIT and self.kl < PLAN_KL
        return asdict(self) | {"plan_target_met": plan}


@dataclass(frozen=True, slots=True)
class Distances:
    """In one precision: folded from gated, and each of them from the gated model in fp64."""

    between: Difference
    gated: Difference
    folded: Difference


def prove(
    model: GatedModel,
    plain: Any,
    prompts: Sequence[Sequence[int]],
    config: BurnInConfig,
    layer_error: float,
    weights: tuple[Weights, Weights] | None = None,
    advance: Advance = lambda: None,
) -> list[Check]:
    """All of SPEC's acceptance; raises nothing for a failed check, the caller refuses on it.

    weights: of the gated and of the plain model, where the modules do not hold them themselves. `advance` is called
    after every layer. Raises BurnInFailed when there is nothing to compare on.
    """
    of_gated, of_plain = weights or (Held.by(model.causal), Held.by(plain))
    found = distances(Streamed(model.causal, of_gated, model.rotations), Streamed(plain, of_plain), prompts, advance)
    checks = [Check("layers", "fp64", layer_error, 0.0, config.layer_tolerance, layer_error < config.layer_tolerance)]
    checks += [_check(dtype, d, config) for dtype, d in found.items()]
    norm = _norm_error(model)
    checks.append(Check("norm", "fp64", norm, 0.0, config.layer_tolerance, norm < config.layer_tolerance))
    return checks


def _check(dtype: torch.dtype, found: Distances, config: BurnInConfig) -> Check:
    between, floor = found.between, found.gated
    overflows = dtype == torch.float16 and not math.isfinite(floor.rms)
    if overflows:
        between, floor, passed = NOTHING, NOTHING, True
    elif dtype == torch.float32:
        passed = between.kl < config.kl_tolerance and between.logit <= config.floor_factor * max(
            floor.logit, PLAN_LOGIT
        )
    else:
        # RMS: the largest of many rounding errors scatters so much that a right fold fails one time in ten.
        passed = found.folded.rms <= config.low_precision_factor * floor.rms
    return Check(
        "model", LOW[dtype], between.logit, between.kl, floor.logit, passed, PLAN_LOGIT, between.agreement, overflows
    )  # fmt: skip


@torch.no_grad()
def distances(
    gated: Streamed, plain: Streamed, prompts: Sequence[Sequence[int]], advance: Advance = lambda: None
) -> dict[torch.dtype, Distances]:
    """By precision, over all positions of all prompts. Raises BurnInFailed for two models of different sizes."""
    if (len(gated.layers), gated.vocabulary) != (len(plain.layers), plain.vocabulary):
        raise BurnInFailed(detail=f"{len(plain.layers)} layers, {plain.vocabulary} tokens: not those of the base")
    with _as_found(gated), _as_found(plain):
        groups = batches(prompts)
        ways = [
            _Way(model, dtype, groups)
            for model, dtypes in ((gated, (EXACT, *LOW)), (plain, tuple(LOW)))
            for dtype in dtypes
        ]
        for number in range(len(gated.layers)):
            for model in (gated, plain):
                _through_layer(number, model, [way for way in ways if way.model is model])
            advance()
        return _compare(ways, sum(int(b.real.sum()) for b in groups))


class _Way:
    """All batches through one model in one precision; gates made in fp64 for the reference, else as in training."""

    def __init__(self, model: Streamed, dtype: torch.dtype, groups: list[Batch]) -> None:
        self.model, self.dtype = model, dtype
        self.passages: list[Passage] = [model.begin(batch, dtype) for batch in groups]
        made_in = EXACT if dtype == EXACT else torch.float32
        self._leaves = [] if model.rotations is None else list(model.rotations.matrices(made_in).detach())

    def step(self, number: int, stored: dict[str, Tensor]) -> None:
        """Go through one layer; stored: its weights."""
        weights = cast(stored, self.dtype)
        if self.model.rotations is not None:
            self.model.rotations.leaves = self._leaves
        for passage in self.passages:
            passage.step(number, weights)

    def logits(self, stored: dict[str, Tensor]) -> Tensor:
        """[positions of all batches, slice]; stored: rows of the head."""
        head = cast(stored, self.dtype)
        return torch.cat([passage.logits(head) for passage in self.passages])


def _through_layer(number: int, model: Streamed, ways: list[_Way]) -> None:
    stored = model.layer(number)
    for way in ways:
        way.step(number, stored)


def _compare(ways: list[_Way], positions: int) -> dict[torch.dtype, Distances]:
    """Slice by slice of the vocabulary."""
    gated, plain = ways[0].model, ways[-1].model
    found = {dtype: tuple(Comparison(positions) for _ in range(3)) for dtype in LOW}
    step = max(1, SLICE // max(positions, gated.hidden))  # neither the logits nor the head's rows become large
    for start in range(0, gated.vocabulary, step):
        stop = min(start + step, gated.vocabulary)
        logits = _slice(gated, ways, start, stop) | _slice(plain, ways, start, stop)
        for dtype, (between, of_gated, of_folded) in found.items():
            low, folded = logits[id(gated), dtype], logits[id(plain), dtype]
            between.add(low, folded)
            of_gated.add(logits[id(gated), EXACT], low)
            of_folded.add(logits[id(gated), EXACT], folded)
        del logits  # before the next slice is made
    return {dtype: Distances(*(c.result() for c in three)) for dtype, three in found.items()}


def _slice(model: Streamed, ways: list[_Way], start: int, stop: int) -> dict[tuple[int, torch.dtype], Tensor]:
    """(model, precision) -> [positions of all batches, stop - start]."""
    stored = model.head(start, stop)
    return {(id(model), way.dtype): way.logits(stored) for way in ways if way.model is model}


def _norm_error(model: GatedModel) -> float:
    """| |R x| / |x| - 1 | follows from orthogonality; measured on R^T R itself."""
    return 0.0 if model.rotations is None else orthogonality_error(model.rotations.matrices(torch.float64).detach())


@contextmanager
def _as_found(model: Streamed) -> Iterator[None]:
    """Without dropout for the time of the block; the model is left as it was."""
    training, rotations = model.causal.training, model.rotations
    leaves = [] if rotations is None else rotations.leaves
    model.causal.eval()
    try:
        yield
    finally:
        model.causal.train(training)
        if rotations is not None:
            rotations.leaves = leaves
