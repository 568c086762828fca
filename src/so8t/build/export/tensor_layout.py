"""Which tensors a model folder has as a GGUF: names, shapes and types, without writing one (plan 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

from so8t.build.export.weights import Weights, model_config
from so8t.core.errors import GgufInvalid

Kind = gguf.GGMLQuantizationType
BLOCK = 8  # the width of a rotation: hidden sizes are its multiples
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"
ROPE = frozenset({LONG, SHORT, "rope_freqs.weight"})  # made of the configuration, not of a tensor
Layout = dict[str, tuple[tuple[int, ...], Kind]]


def architecture_of(name: str, where: object) -> gguf.MODEL_ARCH:
    """By the name that a GGUF carries, such as "phi3". Raises GgufInvalid."""
    for kind, known in gguf.MODEL_ARCH_NAMES.items():
        if known == name:
            return kind
    raise GgufInvalid(where=where, detail=f"architecture {name!r}")


def stored(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What of a checkpoint belongs into a GGUF: a tied head is the embedding, whatever a copy of it says."""
    tied = bool(config.get("tie_word_embeddings"))
    return {n: s for n, s in shapes.items() if not (tied and n == "lm_head.weight") and not n.endswith(".inv_freq")}


def layout(folder: Path, architecture: str, kind: Kind = Kind.F16) -> Layout:
    """GGUF name -> (shape as torch has it, type) of a safetensors folder: matrices in `kind`, vectors in F32.

    Raises GgufInvalid for a tensor that has no place in the architecture, and for a hidden size the rotation cannot
    divide.
    """
    config = model_config(folder)
    hidden, layers = positive(config, "hidden_size", folder), positive(config, "num_hidden_layers", folder)
    if hidden % BLOCK:
        raise GgufInvalid(where=folder, detail=f"hidden_size {hidden}: a multiple of {BLOCK} expected")
    names = gguf.get_tensor_name_map(architecture_of(architecture, folder), layers)
    made: Layout = {}
    with Weights(folder) as weights:
        for key, shape in stored(weights.shapes, config).items():
            if (name := names.get_name(key, try_suffixes=(".weight", ".bias"))) is None:
                raise GgufInvalid(where=folder, detail=f"tensor {key}")
            made[name] = shape, kind if len(shape) > 1 else Kind.F32
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise GgufInvalid(where=folder, detail=f"rope_parameters = {rope!r}")
    for name, key in ((LONG, "long_factor"), (SHORT, "short_factor")):
        if rope.get(key):
            made[name] = (len(rope[key]),), Kind.F32
    return made


def positive(config: Mapping[str, Any], key: str, where: object) -> int:
    """A count of config.json. Raises GgufInvalid for anything else."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise GgufInvalid(where=where, detail=f"{key} = {value!r}")
    return value


def overhead(base: Path, folded: Path, architecture: str) -> dict[str, Any]:
    """Zero overhead (plan 2.1): the folded model's GGUF has exactly the base's tensors, shapes and types."""
    before, after = layout(base, architecture), layout(folded, architecture)
    apart = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return {"tensors": len(after), "identical": not apart, "different": apart[:8]}
