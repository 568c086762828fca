"""A GGUF written tensor by tensor and piece by piece: never more than a piece in memory, never half a file in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.gguf_writer import WriterState

from so8t.core.errors import GgufInvalid
from so8t.core.files import writing

Kind = gguf.GGMLQuantizationType
DTYPES = {Kind.F32: torch.float32, Kind.F16: torch.float16, Kind.BF16: torch.bfloat16}
INFINITE = {Kind.F16: 0x7C00, Kind.BF16: 0x7F80}  # without the sign: from here on infinite, or no number


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor to be written: `shape` as torch has it, `pieces` cut along the first dimension, in any float type."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    pieces: Callable[[], Iterator[torch.Tensor]]

    @property
    def size(self) -> int:
        """Bytes in the file, without padding."""
        return math.prod(self.shape) * DTYPES[self.kind].itemsize


def write_gguf(out: Path, writer: gguf.GGUFWriter, streams: Sequence[Stream]) -> None:
    """`writer` holds the metadata and no path. The file appears whole (fsync, rename) or not at all.

    Raises GgufInvalid for a number that the file's type cannot hold, DiskFull.
    """
    for s in streams:
        writer.add_tensor_info(s.name, s.shape, np.dtype(np.float16), s.size, raw_dtype=s.kind)
    with writing(out) as file:
        writer.fout, writer.state = [file], WriterState.EMPTY  # type: ignore[list-item]
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for s in streams:
            writer.write_padding(file, file.tell())
            for piece in s.pieces():
                file.write(_packed(piece, s))
        writer.write_padding(file, file.tell())


def _packed(piece: torch.Tensor, stream: Stream) -> memoryview:
    """The bytes of a piece in the file's type, rounded to the nearest; a number too large is refused, not made inf."""
    made = piece.to(DTYPES[stream.kind]).contiguous()
    if stream.kind == Kind.F32:
        if not bool(made.isfinite().all()):
            raise GgufInvalid(where=stream.name, detail="not a finite number")
        return made.numpy().reshape(-1).view(np.uint8).data
    bits = made.view(torch.int16).numpy().view(np.uint16)
    if bits.size and int((bits & 0x7FFF).max()) >= INFINITE[stream.kind]:
        raise GgufInvalid(where=stream.name, detail=f"a number that {stream.kind.name} cannot hold")
    return bits.reshape(-1).view(np.uint8).data
