"""The header of a GGUF file from outside, read with limits: a broken count must not cost minutes or the memory.

Format: magic, version, counts, key-value pairs, tensor infos (github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from so8t.core.errors import BaseUnusable

MAGIC, VERSIONS = b"GGUF", (2, 3)
MAXIMUM_KEYS, MAXIMUM_TENSORS, MAXIMUM_DIMENSIONS, MAXIMUM_STRING = 4096, 65_536, 4, 1 << 20
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """`shape` as torch has it, outermost first; `offset` in bytes from the start of the file."""

    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """Scalars and strings by key, the lengths of arrays by key, tensors by name."""

    path: Path
    values: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: Mapping[str, TensorInfo]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def of_architecture(self, key: str) -> Any:
        """A value under the architecture's own name, such as rope.dimension_count; None if the file has none."""
        return self.values.get(f"{self.architecture}.{key}")


def read_header(path: Path) -> Header:
    """Raises BaseUnusable for bad magic, version or counts, and for a file cut off anywhere."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path).header()
    except (OSError, struct.error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise BaseUnusable(where=path, detail=f"GGUF: {error}") from error


class _Reader:
    """Reads forward through an open file, never past its end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._size = file, path, path.stat().st_size

    def header(self) -> Header:
        if (magic := self._take(4)) != MAGIC:
            raise ValueError(f"magic {magic!r}")
        if (version := self._number("<I")) not in VERSIONS:
            raise ValueError(f"version {version}")
        tensors, keys = self._count(MAXIMUM_TENSORS, "tensors"), self._count(MAXIMUM_KEYS, "keys")
        values: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(keys):
            key, kind = self._string(), self._number("<I")
            if kind == ARRAY:
                lengths[key] = self._skip_array()
            else:
                values[key] = self._value(kind)
        infos = [self._tensor() for _ in range(tensors)]
        return Header(self._path, values, lengths, self._placed(infos, int(values.get("general.alignment", 32))))

    def _take(self, count: int) -> bytes:
        data = self._file.read(count) if count <= self._size - self._file.tell() else b""
        if len(data) != count:
            raise ValueError("cut off")
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _count(self, most: int, what: str) -> int:
        found: int = self._number("<Q")
        if found > most:
            raise ValueError(f"{found} {what} > {most}")
        return found

    def _string(self) -> str:
        return self._take(self._count(MAXIMUM_STRING, "bytes in a string")).decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind not in SCALARS:
            raise ValueError(f"value type {kind}")
        return self._number(SCALARS[kind])

    def _skip_array(self) -> int:
        kind, length = self._number("<I"), self._count(self._size, "array entries")
        if kind == STRING:
            for _ in range(length):
                self._take(self._count(MAXIMUM_STRING, "bytes in a string"))
        elif kind in SCALARS:
            self._skip(length * struct.calcsize(SCALARS[kind]))
        else:
            raise ValueError(f"array type {kind}")
        return length

    def _skip(self, count: int) -> None:
        if count > self._size - self._file.tell():
            raise ValueError("cut off")
        self._file.seek(count, 1)

    def _tensor(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = self._string()
        if (dimensions := self._number("<I")) > MAXIMUM_DIMENSIONS:
            raise ValueError(f"{name}: {dimensions} dimensions")
        shape = tuple(reversed([self._number("<Q") for _ in range(dimensions)]))
        return name, shape, GGMLQuantizationType(self._number("<I")), self._number("<Q")

    def _placed(self, infos: list[Any], alignment: int) -> dict[str, TensorInfo]:
        if alignment < 1 or alignment & (alignment - 1):
            raise ValueError(f"alignment {alignment}")
        start = -(-self._file.tell() // alignment) * alignment
        placed: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in infos:
            block, width = GGML_QUANT_SIZES[kind]
            size, rest = divmod(math.prod(shape) * width, block)
            if rest or start + offset + size > self._size:
                raise ValueError(f"{name}: cut off")
            placed[name] = TensorInfo(shape, kind, start + offset, size)
        if len(placed) != len(infos):
            raise ValueError("two tensors of one name")
        return placed
