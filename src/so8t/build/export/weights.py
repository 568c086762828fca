"""The safetensors of a model folder: indexed and checked before use, read piece by piece."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from so8t.core.errors import GgufInvalid
from so8t.core.files import read_json

INDEX = "model.safetensors.index.json"
PIECE = 4 << 20  # numbers in memory at a time, whatever the tensor's size
FLOATS = ("F64", "F32", "F16", "BF16")


class Weights:
    """All tensors of a folder by name; a context manager that keeps its files open."""

    def __init__(self, folder: Path) -> None:
        """Raises GgufInvalid for no, a missing or a cut file, and for a tensor that two files hold."""
        self.folder = folder
        self._stack = ExitStack()
        self._found: dict[str, Any] = {}
        try:
            for path in _files(folder):
                self._open(path)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Weights:
        return self

    def __exit__(self, *_: object) -> None:
        self._found.clear()
        self._stack.close()

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(part.get_shape()) for name, part in self._found.items()}

    def pieces(self, name: str, numbers: int = PIECE) -> Iterator[torch.Tensor]:
        """The tensor cut along its first dimension, about `numbers` of its elements at a time."""
        part = self._found[name]
        shape = part.get_shape()
        if not shape:
            yield part[...]
            return
        step = max(1, numbers // max(1, math.prod(shape[1:])))
        for start in range(0, shape[0], step):
            yield part[start : start + step]

    def _open(self, path: Path) -> None:
        try:
            file = self._stack.enter_context(safe_open(path, "pt"))
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        except (OSError, SafetensorError, ValueError) as error:
            raise GgufInvalid(where=path, detail=f"safetensors: {error}") from error
        for name, part in parts.items():
            if name in self._found:
                raise GgufInvalid(where=path, detail=f"{name}: in two files")
            if part.get_dtype() not in FLOATS:
                raise GgufInvalid(where=path, detail=f"{name}: {part.get_dtype()} ({', '.join(FLOATS)})")
            self._found[name] = part


def _files(folder: Path) -> list[Path]:
    """The files the index names, or all there are. A renamed or lost shard is said by its name."""
    found = sorted(folder.glob("*.safetensors"))
    index = folder / INDEX
    if index.is_file():
        try:
            named = sorted({str(name) for name in read_json(index)["weight_map"].values()})
        except (KeyError, TypeError, AttributeError) as error:
            raise GgufInvalid(where=index, detail="weight_map") from error
        if lost := [name for name in named if folder / name not in found]:
            raise GgufInvalid(where=folder, detail=f"{lost[0]} (+{len(lost) - 1}) of {INDEX} is missing")
        return [folder / name for name in named]
    if not found:
        raise GgufInvalid(where=folder, detail="no *.safetensors")
    return found


def model_config(folder: Path) -> dict[str, Any]:
    """config.json as an object. Raises GgufInvalid, RecordInvalid, SourceMissing."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise GgufInvalid(where=folder / "config.json", detail=f"{json.dumps(config)[:40]}: object expected")
    return config
