"""A folded Phi-3 / Phi-4-mini checkpoint -> GGUF F16 or BF16 (SPEC "GGUF, llama.cpp, Ollama").

Fused tensors, longrope factors, tied embeddings and the tokenizer are written as llama.cpp's own converter does, with
the official `gguf` package as writer, one piece of one tensor in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gguf
import torch

from so8t.build.export.byte_level import write_tokenizer
from so8t.build.export.phi3_shape import Shape
from so8t.build.export.stream import Kind, Stream, write_gguf
from so8t.build.export.tensor_layout import LONG, SHORT, stored
from so8t.build.export.weights import Weights, model_config
from so8t.core.errors import GgufInvalid

FILE_TYPES = {Kind.F16: gguf.LlamaFileType.MOSTLY_F16, Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16}


def export_phi3(model: Path, out: Path, name: str, kind: Kind = Kind.F16) -> None:
    """Write `out` from a transformers folder, matrices in `kind`, vectors in F32.

    Raises GgufInvalid for a layout, tokenizer or number it cannot write, SourceMissing, RecordInvalid, DiskFull.
    """
    config = model_config(model)
    shape = Shape.read(config, model)
    writer = gguf.GGUFWriter(None, "phi3")
    _metadata(writer, shape, name, kind)
    write_tokenizer(writer, model, shape.vocabulary)
    with Weights(model) as weights:
        found = stored(weights.shapes, config)
        shape.require(found, model)
        streams = [*_streams(weights, found, shape, kind), *_longrope(shape)]
        try:
            write_gguf(out, writer, streams)
        except GgufInvalid as error:
            raise GgufInvalid(where=model, detail=f"{error.where}: {error.detail}") from error


def export_f16(model: Path, out: Path, name: str) -> None:
    """export_phi3 in F16: the file that everything else is quantised from and held against."""
    export_phi3(model, out, name, Kind.F16)


def plain_name(name: str) -> str:
    """llama.cpp refuses a vocabulary without </s> when general.name says phi-3."""
    return re.sub(r"(?i)phi-?3", "phi", name)


def _streams(weights: Weights, found: dict[str, tuple[int, ...]], shape: Shape, kind: Kind) -> Iterator[Stream]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.PHI3, shape.layers)
    for key, size in found.items():
        target = names.get_name(key, try_suffixes=(".weight",))
        assert target is not None  # every name that Shape.require lets through has one
        yield Stream(target, size, kind if len(size) > 1 else Kind.F32, partial(weights.pieces, key))


def _metadata(writer: gguf.GGUFWriter, shape: Shape, name: str, kind: Kind) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(plain_name(name))
    writer.add_context_length(shape.context)
    writer.add_rope_scaling_orig_ctx_len(shape.original_context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.rotary)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_sliding_window(shape.sliding_window)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if shape.longrope:
        writer.add_rope_scaling_attn_factors(shape.attention_factor)


def _longrope(shape: Shape) -> Iterator[Stream]:
    """Long and short rotary factors: tensors that no checkpoint has."""
    for name, key in ((LONG, "long_factor"), (SHORT, "short_factor")) if shape.longrope else ():
        values = torch.tensor(shape.rope[key], dtype=torch.float32)
        yield Stream(name, tuple(values.shape), Kind.F32, partial(iter, [values]))
