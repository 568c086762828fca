"""Checkpoints that are whole or not there: stage folder, hashes, fsync, one rename; five kept (plan D.1, SPEC T1).

No random state is among it: dropout and noise are seeded by (seed, step, micro-batch), so the step number says it all.
"""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from so8t.core.errors import CheckpointBroken, DataError, DiskFull
from so8t.core.files import commit_folder, fresh_folder, hash_folder, is_disk_full, read_json, write_json
from so8t.core.types import canonical_json

HASHES = "sha256.json"


@dataclass(slots=True)
class State:
    """All that a resumed run needs to go on bit for bit: weights, averages, optimizer, position."""

    step: int
    parameters: dict[str, Tensor]
    average: dict[str, Tensor]
    average_count: int
    optimizer: dict[str, Any]
    facts: dict[str, Any]


def snapshot(state: State) -> State:
    """A copy in main memory that training no longer touches."""
    return replace(
        state, parameters=_copied(state.parameters), average=_copied(state.average), optimizer=_copied(state.optimizer)
    )


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def save(folder: Path, state: State, keep: int) -> Path:
    """Write step-N below `folder`, then drop the oldest beyond `keep`. Raises DiskFull, leaving what was there."""
    final = folder / f"step-{state.step:08}"
    partial = folder / f".{final.name}.partial"
    try:
        _write(fresh_folder(partial), state)
        commit_folder(partial, final)
    except (OSError, SafetensorError, RuntimeError, DiskFull) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if is_disk_full(error):
            raise DiskFull(where=final) from error
        raise
    for old in folders(folder)[: -max(1, keep)]:
        shutil.rmtree(old)
    return final


def _write(partial: Path, state: State) -> None:
    for name, tensors in (("parameters", state.parameters), ("average", state.average)):
        if tensors:
            ready = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
            save_file(ready, partial / f"{name}.safetensors")
    with (partial / "optimizer.pt").open("wb") as f:  # through our handle a full disk is told as such
        torch.save({"optimizer": state.optimizer}, f)
    write_json(partial / "state.json", {"step": state.step, "average_count": state.average_count, "facts": state.facts})
    hashes = hash_folder(partial)
    write_json(partial / HASHES, {"files": hashes, "digest": _digest(hashes)})


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
        optimizer = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)  # no code is unpickled
    except UnpicklingError as error:
        raise CheckpointBroken(where=path / "optimizer.pt", detail="weights_only") from error
    return State(
        step=facts["step"],
        parameters=load_file(path / "parameters.safetensors"),
        average=load_file(average) if average.exists() else {},
        average_count=facts["average_count"],
        optimizer=optimizer["optimizer"],
        facts=facts["facts"],
    )


def newest(folder: Path) -> tuple[State | None, list[CheckpointBroken]]:
    """The newest whole checkpoint and the broken ones passed over on the way."""
    broken: list[CheckpointBroken] = []
    for path in reversed(folders(folder)):
        try:
            return load(path), broken
        except CheckpointBroken as error:
            broken.append(error)
    return None, broken


def set_aside(folder: Path, step: int) -> None:
    """Move checkpoints later than `step` out of the way: the next start must not take them for the newest."""
    for path in folders(folder):
        if int(path.name.removeprefix("step-")) > step:
            target = folder / "aside" / path.name
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            path.replace(target)


def folders(folder: Path) -> list[Path]:
    """Checkpoints below a training's work folder, the oldest first."""
    return sorted(p for p in folder.glob("step-*") if p.is_dir()) if folder.exists() else []


def _digest(hashes: dict[str, str]) -> str:
    return hashlib.sha256(canonical_json(hashes).encode()).hexdigest()


class Writer:
    """Writes checkpoints in the background: training waits for the copy in memory, not for the disk."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[Path] | None = None

    def save(self, state: State) -> None:
        """Copy `state` and hand it over. Raises what the one before raised, DiskFull above all."""
        self.wait()
        self._pending = self._pool.submit(self._save, snapshot(state))

    def wait(self) -> None:
        """Until the last one is on disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def check(self) -> None:
        """Raise at once what a finished write has to say; costs nothing."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _save(self, state: State) -> Path:
        """A full disk costs the older checkpoints first; the newest whole one is never given up."""
        try:
            return save(self._folder, state, self._keep)
        except DiskFull:
            for old in folders(self._folder)[:-1]:
                shutil.rmtree(old)
            return save(self._folder, state, self._keep)
