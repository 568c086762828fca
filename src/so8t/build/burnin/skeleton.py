"""The modules of a base and of what was trained on it, without their weights: those stay on disk until asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from so8t.build.burnin.weights import Gathered, Stored, Weights, model_files, pieces
from so8t.build.model.attach import GatedModel, attach, output_projections
from so8t.build.model.loading import UNREADABLE, first_line, load_config
from so8t.build.model.rotation import Rotations
from so8t.core.config import TrainConfig
from so8t.core.errors import BaseUnusable, BurnInFailed, So8tError, StageBroken, TrainingDiverged

PEFT = "base_model.model."  # before every name in the adapter's file


def skeleton(folder: Path) -> Any:
    """The model of a folder's config.json with weights of no content (device meta) and real buffers.

    Raises BaseUnusable, also for a base that is quantised on disk: there is nothing to merge into without loss.
    """
    config = load_config(folder)
    if getattr(config, "quantization_config", None):
        raise BaseUnusable(where=folder, detail="quantization_config: the base must be in full precision")
    try:
        with init_empty_weights(include_buffers=False):
            made: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except UNREADABLE as error:
        raise BaseUnusable(where=folder, detail=first_line(error)) from error
    made.tie_weights()
    return made.eval()


def stored_model(folder: Path, model: Any, fault: type[So8tError]) -> Gathered:
    """The tensors of a folder by the names of `model`, every one there and in its shape; more than those are ignored.

    As transformers reads it: names may lack the prefix "model.", and tied weights may stand under either name.
    Raises `fault`.
    """
    stored = Stored(model_files(folder, fault), fault)
    there = set(stored.names())
    tied = _tied(model)
    places: dict[str, tuple[Weights, str]] = {}
    for name, tensor in model.state_dict().items():
        found = [n for n in _spellings(model, name, tied) if n in there]
        if not found:
            raise fault(where=stored.where, detail=f"missing {name}")
        if stored.shape(found[0]) != tuple(tensor.shape):
            raise fault(where=stored.where, detail=f"{name}: {stored.shape(found[0])}, not {tuple(tensor.shape)}")
        places[name] = stored, found[0]
    for name, other in tied.items():
        _require_equal(stored, there & {name, other}, fault)
    return Gathered(places)


def written_model(folder: Path) -> tuple[Any, Gathered]:
    """What the fold wrote, to be proved: nothing is missing, and nothing is left over.

    Raises BurnInFailed.
    """
    model = skeleton(folder)
    require_plain(model)
    stored = set(Stored(model_files(folder, BurnInFailed), BurnInFailed).names())
    if extra := sorted(stored - set(plain_names(model))):
        raise BurnInFailed(where=folder, detail=f"left over: {extra[0]}")
    return model, stored_model(folder, model, BurnInFailed)


def plain_names(model: Any) -> list[str]:
    """Every tensor of a model once, layer by layer; of tied ones the first."""
    seen: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        seen.setdefault(id(tensor), name)
    return list(seen.values())


def require_plain(model: nn.Module) -> None:
    """Raises BurnInFailed for a model with a hook: a gate would turn a second time what is folded already."""
    if any(m._forward_hooks for m in model.modules()):
        raise BurnInFailed(where=type(model).__name__, detail="a gate is left over")


def gated_model(base: Path, adapter: Path, train: TrainConfig) -> tuple[GatedModel, Gathered]:
    """What was trained: modules with LoRA and gates in place, and where each of their weights lies.

    Raises BaseUnusable, TargetMissing, StageBroken for an adapter that does not fit, TrainingDiverged for NaN in it.
    """
    plain = skeleton(base)
    weights = stored_model(base, plain, BaseUnusable)
    model = attach(plain, train.lora, dataclasses.replace(train.gate, enabled=False))
    if train.gate.enabled:  # attach would make them on the device of the weights, and meta has no numbers
        config = plain.config
        model.rotations = Rotations(config.num_hidden_layers, config.hidden_size, train.gate.parametrisation)
        model.rotations.attach(output_projections(model.peft))
    trained = Stored([adapter], StageBroken)
    _require_trained(trained, {n: tuple(p.shape) for n, p in model.parameters().items()}, adapter)
    if model.rotations is not None:
        _fill(model.rotations, trained.tensor("rotations.skew"))
    model.train(False)
    return model, Gathered({name: _place(name, weights, trained) for name in model.causal.state_dict()})


@torch.no_grad()
def _fill(rotations: Rotations, skew: Tensor) -> None:
    rotations.skew.copy_(skew)
    rotations.refresh()


def _place(name: str, base: Weights, trained: Weights) -> tuple[Weights, str]:
    """PEFT's name of a tensor -> where it lies."""
    return (trained, PEFT + name) if ".lora_" in name else (base, name.replace(".base_layer.", "."))


def _require_trained(trained: Stored, expected: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Just the tensors that the training had, and every number of them finite."""
    for name in sorted({*expected, *trained.names()}):
        if name not in expected:
            raise StageBroken(where=where, detail=f"{name}: not in this configuration")
        if trained.shape(name) != expected[name]:
            raise StageBroken(where=where, detail=f"{name}: {trained.shape(name)}, not {expected[name]}")
        if not all(bool(piece.isfinite().all()) for piece in pieces(trained, name)):
            raise TrainingDiverged(where=where, detail=f"{name}: NaN")


def _tied(model: Any) -> dict[str, str]:
    """Name -> the other name of the same weight."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        other = first.setdefault(id(tensor), name)
        if other != name:
            found |= {name: other, other: name}
    return found


def _spellings(model: Any, name: str, tied: Mapping[str, str]) -> list[str]:
    """The names that a tensor may have in the file, the best first."""
    prefix = f"{model.base_model_prefix}."
    names = [name, tied[name]] if name in tied else [name]
    return [n for full in names for n in (full, full.removeprefix(prefix))]


def _require_equal(stored: Stored, both: set[str], fault: type[So8tError]) -> None:
    """transformers would not tie two that differ, whatever config.json says; so nobody knows which is meant."""
    if len(both) < 2:
        return
    one, two = sorted(both)
    if not all(torch.equal(a, b) for a, b in zip(pieces(stored, one), pieces(stored, two), strict=True)):
        raise fault(where=stored.where, detail=f"{one} differs from {two}, and config.json says they are one")
