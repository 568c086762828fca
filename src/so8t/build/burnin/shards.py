"""A safetensors folder written tensor by tensor, in shards when it is large, as transformers reads it.

The header of a shard is known before its contents (https://huggingface.co/docs/safetensors, "Format"), so that no more
than a piece of one tensor is in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from so8t.build.burnin.weights import INDEX, SINGLE
from so8t.core.errors import BurnInFailed
from so8t.core.files import write_json, writing

SHARD = 2 * 10**9  # bytes; a tensor that is larger has a shard of its own
FP32 = 4
ALIGNMENT = 8

Shapes = Mapping[str, tuple[int, ...]]
Source = Callable[[str], Iterable[Tensor]]  # a tensor's name -> its rows, piece by piece


def write_shards(folder: Path, shapes: Shapes, source: Source, limit: int = SHARD) -> None:
    """Write every tensor in fp32, in the order of `shapes`.

    fp32 whatever the base is stored in: a merged weight rounded to bf16 loses what LoRA learnt below one part in 256,
    and the GGUF, which is made from here, is to be rounded once and not twice.

    Raises BurnInFailed for a number that is not finite and for pieces that do not make up the shape; DiskFull.
    """
    groups = _groups(shapes, limit)
    files = [SINGLE] if len(groups) == 1 else [_shard_name(n, len(groups)) for n in range(1, len(groups) + 1)]
    for file, names in zip(files, groups, strict=True):
        with writing(folder / file) as f:
            f.write(_header({name: shapes[name] for name in names}))
            for name in names:
                _write_tensor(f, name, shapes[name], source(name))
    if len(groups) > 1:
        weight_map = {name: file for file, names in zip(files, groups, strict=True) for name in names}
        total = sum(FP32 * math.prod(shape) for shape in shapes.values())
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _shard_name(number: int, of: int) -> str:
    return f"model-{number:05}-of-{of:05}.safetensors"


def _groups(shapes: Shapes, limit: int) -> list[list[str]]:
    """The names of each shard."""
    groups: list[list[str]] = [[]]
    held = 0
    for name, shape in shapes.items():
        size = FP32 * math.prod(shape)
        if groups[-1] and held + size > limit:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups


def _header(shapes: Shapes) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in shapes.items():
        end = start + FP32 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _write_tensor(f: BinaryIO, name: str, shape: tuple[int, ...], parts: Iterable[Tensor]) -> None:
    written = 0
    for part in parts:
        stored = part.detach().to(torch.float32).contiguous()
        if not bool(stored.isfinite().all()):
            raise BurnInFailed(detail=f"{name}: not finite")
        f.write(stored.view(-1).numpy().data)
        written += stored.numel()
    if written != math.prod(shape):
        raise BurnInFailed(detail=f"{name}: {written} numbers, not {math.prod(shape)}")
