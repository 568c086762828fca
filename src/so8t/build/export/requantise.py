"""Write the matrices of a quantised GGUF anew, with an importance of their columns. Runs in a process of its own.

    python -m so8t.build.export.requantise SOURCE.gguf TARGET.gguf IMPORTANCE.gguf THREADS

TARGET is SOURCE as llama.cpp quantised it; which type a matrix has, and where it lies, stays. The bytes are made by
llama.cpp's own ggml_quantize_chunk, out of the library in the xllamacpp package (on Linux it shows that function).
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from so8t.build.export.importance_file import Importance, read_importance
from so8t.build.model.gguf_header import Header, TensorInfo, read_header
from so8t.core.errors import GgufInvalid, PackageMissing

Kind = GGMLQuantizationType
# The types whose scales are found by weighing errors. Q8_0 rounds, the others need no importance.
WEIGHED = frozenset({Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K})
PIECE = 4 << 20  # numbers a thread has in memory at a time
Quantiser = Callable[[Kind, np.ndarray[Any, Any], np.ndarray[Any, Any] | None], bytes]


def main() -> None:
    source, target, importance, threads = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    try:
        requantise(source, target, read_importance(importance), threads)
    except (GgufInvalid, PackageMissing) as error:
        sys.exit(error.render("en").splitlines()[0])


def requantise(source: Path, target: Path, importance: Importance, threads: int = 2) -> int:
    """Rewrite `target` in place; returns how many matrices. Raises GgufInvalid where the files do not fit."""
    before, after = read_header(source), read_header(target)
    quantiser = ggml_quantiser()
    chosen = [name for name, info in after.tensors.items() if name in importance and info.kind in WEIGHED]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for name in chosen:
            _matrix(before, after, name, importance[name], quantiser, pool)
    return len(chosen)


def _matrix(
    before: Header, after: Header, name: str, weights: np.ndarray[Any, Any], quantiser: Quantiser,
    pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    old, new = before.tensors.get(name), after.tensors[name]
    if old is None or old.shape != new.shape or weights.shape != new.shape[-1:]:
        raise GgufInvalid(where=after.path, detail=f"{name}: {new.shape}, importance {weights.shape}")
    rows, width = math.prod(new.shape[:-1]), new.shape[-1]
    block, size = GGML_QUANT_SIZES[new.kind]
    step = max(1, PIECE // width)

    def write(start: int) -> None:
        values = _rows(before.path, old, start, min(step, rows - start), width)
        with after.path.open("r+b") as file:
            file.seek(new.offset + start * (width // block * size))
            file.write(quantiser(new.kind, values, weights))

    list(pool.map(write, range(0, rows, step)))


def _rows(path: Path, info: TensorInfo, start: int, count: int, width: int) -> np.ndarray[Any, Any]:
    """[count, width] in fp32. Raises GgufInvalid for a source that is quantised already."""
    if info.kind not in (Kind.F16, Kind.BF16, Kind.F32):
        raise GgufInvalid(where=path, detail=f"source is {info.kind.name}")
    dtype = np.dtype({Kind.F16: "<f2", Kind.BF16: "<u2", Kind.F32: "<f4"}[info.kind])
    values = np.fromfile(path, dtype, count * width, offset=info.offset + start * width * dtype.itemsize)
    if info.kind == Kind.BF16:
        return (values.astype(np.uint32) << 16).view(np.float32).reshape(count, width)
    return values.astype(np.float32).reshape(count, width)


def ggml_quantiser() -> Quantiser:
    """llama.cpp's ggml_quantize_chunk. Raises PackageMissing where the library hides it."""
    try:
        spec = find_spec("xllamacpp")
        files = [
            f for folder in (spec.submodule_search_locations if spec else []) or [] for f in Path(folder).iterdir()
        ]
        library = ctypes.CDLL(str(next(f for f in files if f.name.startswith("xllamacpp") and f.suffix != ".py")))
        chunk = library.ggml_quantize_chunk
    except (StopIteration, OSError, AttributeError) as error:
        detail = "ggml_quantize_chunk in xllamacpp; export.quantiser = a llama-quantize program does without"
        raise PackageMissing(detail=detail) from error
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]

    def quantise(kind: Kind, values: np.ndarray[Any, Any], weights: np.ndarray[Any, Any] | None) -> bytes:
        rows, width = values.shape
        block, size = GGML_QUANT_SIZES[kind]
        made = np.empty(rows * width // block * size, np.uint8)
        source = np.ascontiguousarray(values, np.float32)
        wanted = None if weights is None else np.ascontiguousarray(weights, np.float32)
        pointer = None if wanted is None else wanted.ctypes.data
        written = chunk(int(kind), source.ctypes.data, made.ctypes.data, 0, rows, width, pointer)
        if written != made.nbytes:
            raise GgufInvalid(detail=f"ggml_quantize_chunk: {written} bytes, {made.nbytes} expected")
        return made.tobytes()

    return quantise


if __name__ == "__main__":
    main()
