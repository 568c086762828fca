"""Checkpoints that are whole or not there: stage folder, hashes, fsync, one rename; five kept (plan D.1, SPEC T1)."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from so8t.core.errors import CheckpointBroken, DataError
from so8t.core.files import commit_folder, fresh_folder, hash_folder, read_json, write_json
from so8t.core.types import canonical_json

HASHES = "sha256.json"


@dataclass(slots=True)
class State:
    """All that a resumed run needs to go on bit for bit: weights, averages, optimizer, random state, position."""

    step: int
    parameters: dict[str, Tensor]
    average: dict[str, Tensor]
    average_count: int
    optimizer: dict[str, Any]
    random: Tensor
    facts: dict[str, Any]


def save(folder: Path, state: State, keep: int) -> Path:
    """Write step-N below `folder`, then drop the oldest beyond `keep`."""
    final = folder / f"step-{state.step:08}"
    partial = fresh_folder(folder / f".{final.name}.partial")
    save_file(
        {n: t.detach().cpu().contiguous() for n, t in state.parameters.items()}, partial / "parameters.safetensors"
    )
    if state.average:
        save_file({n: t.cpu().contiguous() for n, t in state.average.items()}, partial / "average.safetensors")
    torch.save({"optimizer": state.optimizer, "random": state.random}, partial / "optimizer.pt")
    write_json(partial / "state.json", {"step": state.step, "average_count": state.average_count, "facts": state.facts})
    hashes = hash_folder(partial)
    write_json(partial / HASHES, {"files": hashes, "digest": _digest(hashes)})
    commit_folder(partial, final)
    for old in _folders(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def load(path: Path) -> State:
    """Raises CheckpointBroken when any byte differs from what was saved."""
    if not (path / HASHES).is_file():
        raise CheckpointBroken(where=path, detail=HASHES)
    try:
        listing = read_json(path / HASHES)
        whole = (
            hash_folder(path, frozenset({HASHES})) == listing["files"]
            and _digest(listing["files"]) == listing["digest"]
        )
    except (DataError, KeyError, TypeError) as error:
        raise CheckpointBroken(where=path, detail=HASHES) from error
    if not whole:
        raise CheckpointBroken(where=path, detail="sha256")
    facts = read_json(path / "state.json")
    average = path / "average.safetensors"
    try:
        optimizer = torch.load(path / "optimizer.pt", weights_only=True)  # no code is ever unpickled
    except UnpicklingError as error:
        raise CheckpointBroken(where=path / "optimizer.pt", detail="weights_only") from error
    return State(
        step=facts["step"],
        parameters=load_file(path / "parameters.safetensors"),
        average=load_file(average) if average.exists() else {},
        average_count=facts["average_count"],
        optimizer=optimizer["optimizer"],
        random=optimizer["random"],
        facts=facts["facts"],
    )


def newest(folder: Path) -> tuple[State | None, list[CheckpointBroken]]:
    """The newest whole checkpoint and the broken ones passed over on the way."""
    broken: list[CheckpointBroken] = []
    for path in reversed(_folders(folder)):
        try:
            return load(path), broken
        except CheckpointBroken as error:
            broken.append(error)
    return None, broken


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir()) if folder.exists() else []


def _digest(hashes: dict[str, str]) -> str:
    return hashlib.sha256(canonical_json(hashes).encode()).hexdigest()
