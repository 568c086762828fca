"""The importance of matrix columns on disk: llama.cpp's imatrix file (tools/imatrix), which llama-quantize reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

from so8t.build.model.gguf_header import Header, TensorInfo, read_header
from so8t.core.errors import BaseUnusable, GgufInvalid

SUM, COUNT = ".in_sum2", ".counts"
Importance = Mapping[str, np.ndarray[Any, Any]]  # tensor of the GGUF -> mean squared input of each column, fp32


def read_importance(path: Path) -> Importance:
    """Raises GgufInvalid for a file that is none, or has a number in it that is none or negative."""
    try:
        header = read_header(path)
    except BaseUnusable as error:
        raise GgufInvalid(where=path, detail=error.detail) from error
    if header.values.get("general.type") != "imatrix":
        raise GgufInvalid(where=path, detail="no imatrix")
    return {
        name.removesuffix(SUM): _mean(header, name, info) for name, info in header.tensors.items() if name.endswith(SUM)
    }


def _mean(header: Header, name: str, info: TensorInfo) -> np.ndarray[Any, Any]:
    counted = header.tensors.get(name.removesuffix(SUM) + COUNT)
    if info.kind != Kind.F32 or counted is None or counted.kind != Kind.F32 or counted.size != 4:
        raise GgufInvalid(where=header.path, detail=f"{name}: one matrix in F32 expected")
    total = np.fromfile(header.path, "<f4", info.size // 4, offset=info.offset)
    count = float(np.fromfile(header.path, "<f4", 1, offset=counted.offset)[0])
    if not (np.isfinite(total).all() and (total >= 0).all() and np.isfinite(count) and count > 0):
        raise GgufInvalid(where=header.path, detail=f"{name}: negative or not finite")
    return (total / count).astype(np.float32)
