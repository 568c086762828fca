"""The fold of a run: how far the folded model is from the gated one, on the right side and on the wrong one."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from rotation_page.finished import Finished
from so8t.build.burnin.fold import fold, merged_weight
from so8t.build.burnin.proof import Difference, difference
from so8t.build.export.phi3 import export_f16
from so8t.build.model.attach import GatedModel, output_projections
from so8t.core.errors import GgufInvalid


@dataclass(frozen=True, slots=True)
class Measured:
    """Largest logit difference of gated and folded in one precision; `floor` = of the gated model from fp64."""

    precision: str
    difference: float
    floor: float | None


@dataclass(frozen=True, slots=True)
class Folding:
    """`wrong`: W @ R instead of R W, None where o_proj is not square; `without`: the gates left out; both in fp64."""

    prompts: int
    layer_error: float
    precisions: list[Measured]
    kl: float
    agreement: dict[str, float]
    wrong: Difference | None
    without: Difference
    tensors: int | None
    same_tensors: bool | None
    more_bytes: int | None


def wrong_side(weight: Tensor, r: Tensor) -> Tensor:
    """W @ blockdiag(R), the plan's order (5.3), taken at its word on torch's [out, in]: it turns the inputs."""
    turned: Tensor = weight @ torch.block_diag(*r).to(weight.dtype)  # type: ignore[no-untyped-call]
    return turned


def measure(run: Finished) -> Folding:
    gated = run.gated(torch.float64)
    folded, layer_error = fold(gated)
    checks = {c["precision"]: c for c in run.json("burnin", "burnin.json")["checks"] if c["name"] == "model"}
    exact = difference(gated.peft, folded, run.prompts)
    rows = [Measured("fp64", exact.logit, None)]
    rows += [Measured(name, c["max_logit_difference"], c["floor"]) for name, c in checks.items()]
    tensors, same, more = gguf_tensors(run)
    return Folding(
        prompts=len(run.prompts), layer_error=layer_error, precisions=rows, kl=checks["fp32"]["kl"],
        agreement={name: c["argmax_agreement"] for name, c in checks.items()},
        wrong=_against(run, gated, folded, wrong=True), without=_difference_without(run, gated, folded),
        tensors=tensors, same_tensors=same, more_bytes=more,
    )  # fmt: skip


def _against(run: Finished, gated: GatedModel, folded: Any, wrong: bool) -> Difference | None:
    """The gated model against the folded one with other weights in its output projections."""
    assert gated.rotations is not None
    twin, rotations = copy.deepcopy(folded), gated.rotations.matrices(torch.float64).detach()
    for source, target, r in zip(output_projections(gated.peft), output_projections(twin), rotations, strict=True):
        weight = merged_weight(source)
        if wrong and weight.shape[0] != weight.shape[1]:
            return None
        with torch.no_grad():
            target.weight.copy_(wrong_side(weight, r) if wrong else weight)  # type: ignore[operator]
    return difference(gated.peft, twin, run.prompts)


def _difference_without(run: Finished, gated: GatedModel, folded: Any) -> Difference:
    found = _against(run, gated, folded, wrong=False)
    assert found is not None
    return found


def gguf_tensors(run: Finished) -> tuple[int | None, bool | None, int | None]:
    """(tensors, same names, shapes and types, bytes more) of the folded model's F16 file against the base's.

    None where the base is of an architecture that is not exported.
    """
    lists, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in (("base", run.base), ("folded", run.folder / "burnin" / "model")):
            path = Path(folder) / f"{name}.gguf"
            try:
                export_f16(model, path, "so8t")
            except GgufInvalid:
                return None, None, None
            lists.append([(t.name, tuple(t.shape), t.tensor_type) for t in gguf.GGUFReader(path).tensors])
            sizes.append(path.stat().st_size)
    return len(lists[1]), lists[0] == lists[1], sizes[1] - sizes[0]
