"""Weights by name, one at a time, from memory or from safetensors: a model that is folded never stands as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from so8t.core.errors import BurnInFailed, So8tError
from so8t.core.files import read_json

PIECE = 2**24  # numbers of a tensor that are read at a time where it need not be whole: 64 MB in fp32
MAX_INDEX_BYTES = 64 << 20
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Weights(Protocol):
    """Tensors by name, on the CPU."""

    def names(self) -> list[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def tensor(self, name: str) -> Tensor: ...

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Part of the first dimension."""
        ...

    def take(self, name: str, rows: Sequence[int]) -> Tensor:
        """Some rows of the first dimension, in that order."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """Tensors that are in memory already."""

    tensors: Mapping[str, Tensor]

    @classmethod
    def by(cls, module: nn.Module) -> Held:
        """The parameters and buffers of a module; a tied one under each of its names."""
        return cls(module.state_dict())

    def names(self) -> list[str]:
        return list(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensor(name).shape)

    def tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise BurnInFailed(detail=f"missing {name}")
        return self.tensors[name]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        return self.tensor(name)[start:stop]

    def take(self, name: str, rows: Sequence[int]) -> Tensor:
        return self.tensor(name)[list(rows)]


class Stored:
    """Tensors of safetensors files. A file is open only while something is read: an open one would stay mapped.

    Raises `fault` (a class of the error tree) for a file that is not what it says, a tensor that is not there, that
    stands in two files, or that is not of floating point, as quantised weights are.
    """

    def __init__(self, files: Sequence[Path], fault: type[So8tError]) -> None:
        self.where = files[0] if len(files) == 1 else files[0].parent
        self._fault = fault
        self._files: dict[str, Path] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for file in files:
            with self._open(file) as f:
                for name in f.keys():  # noqa: SIM118 (safe_open is no mapping)
                    self._note(file, name, f.get_slice(name))

    def names(self) -> list[str]:
        return list(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        self._find(name)
        return self._shapes[name]

    def tensor(self, name: str) -> Tensor:
        with self._open(self._find(name)) as f:
            whole: Tensor = f.get_tensor(name)
        return whole

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        with self._open(self._find(name)) as f:
            part: Tensor = f.get_slice(name)[start:stop]
        return part

    def take(self, name: str, rows: Sequence[int]) -> Tensor:
        with self._open(self._find(name)) as f:
            slices = f.get_slice(name)
            return torch.cat([slices[row : row + 1] for row in rows])

    def _note(self, file: Path, name: str, entry: Any) -> None:
        if entry.get_dtype() not in FLOATS:
            raise self._fault(where=file, detail=f"{name}: {entry.get_dtype()}, not {', '.join(FLOATS)}")
        if name in self._files:
            raise self._fault(where=file, detail=f"{name}: also in {self._files[name].name}")
        self._files[name], self._shapes[name] = file, tuple(entry.get_shape())

    def _find(self, name: str) -> Path:
        if name not in self._files:
            raise self._fault(where=self.where, detail=f"missing {name}")
        return self._files[name]

    @contextmanager
    def _open(self, file: Path) -> Iterator[Any]:
        try:
            with safe_open(file, "pt") as f:
                yield f
        except (OSError, SafetensorError) as error:
            raise self._fault(where=file, detail=str(error).splitlines()[0][:200]) from error


@dataclass(frozen=True, slots=True)
class Gathered:
    """Tensors from several places under other names: name here -> (where it is, its name there)."""

    places: Mapping[str, tuple[Weights, str]]

    def names(self) -> list[str]:
        return list(self.places)

    def shape(self, name: str) -> tuple[int, ...]:
        weights, there = self.places[name]
        return weights.shape(there)

    def tensor(self, name: str) -> Tensor:
        weights, there = self.places[name]
        return weights.tensor(there)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        weights, there = self.places[name]
        return weights.rows(there, start, stop)

    def take(self, name: str, rows: Sequence[int]) -> Tensor:
        weights, there = self.places[name]
        return weights.take(there, rows)


def pieces(weights: Weights, name: str) -> Iterator[Tensor]:
    """A tensor in runs of rows of at most PIECE numbers (or one row)."""
    shape = weights.shape(name)
    if not shape:
        yield weights.tensor(name)
        return
    step = max(1, PIECE // max(1, torch.Size(shape[1:]).numel()))
    for start in range(0, shape[0], step):
        yield weights.rows(name, start, min(start + step, shape[0]))


def model_files(folder: Path, fault: type[So8tError]) -> list[Path]:
    """The safetensors of a model folder: one, or those its index names, as transformers looks for them.

    Raises `fault` when there are none, when one is missing, or for an index that leads out of the folder.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = folder / INDEX
    if not index.is_file():
        raise fault(where=folder, detail=f"{SINGLE}, {INDEX}: neither is there")
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise fault(where=index, detail=f"> {MAX_INDEX_BYTES} bytes")
    try:
        names = sorted({str(name) for name in read_json(index)["weight_map"].values()})
    except (So8tError, AttributeError, KeyError, TypeError) as error:
        raise fault(where=index, detail="weight_map") from error
    for name in names:
        if name != Path(name).name or not (folder / name).is_file():
            raise fault(where=index, detail=f"{name}: no file of this folder")
    if not names:
        raise fault(where=index, detail="weight_map: empty")
    return [folder / name for name in names]
