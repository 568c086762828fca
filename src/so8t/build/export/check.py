"""A GGUF held to what it should be: header, metadata, every tensor with its shape and type. For any decoder.

It is read by a reader of our own with limits (build/model/gguf_header.py), so a file from outside may be anything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from so8t.build.export.tensor_layout import ROPE, Kind, Layout, architecture_of, layout
from so8t.build.model.gguf_header import Header, read_header
from so8t.core.errors import BaseUnusable, GgufInvalid

# Quantisation -> the type of most matrices, and those its recipe uses besides (llama.cpp, src/llama-quant.cpp).
TYPES: dict[str, tuple[Kind, frozenset[Kind]]] = {
    "F16": (Kind.F16, frozenset()),
    "BF16": (Kind.BF16, frozenset()),
    "Q8_0": (Kind.Q8_0, frozenset()),
    "Q4_K_M": (Kind.Q4_K, frozenset({Kind.Q5_K, Kind.Q6_K})),
    "Q5_K_M": (Kind.Q5_K, frozenset({Kind.Q6_K})),
    "Q6_K": (Kind.Q6_K, frozenset()),
}
# What llama.cpp takes where a row is not divisible by the block of the type meant for it.
FALLBACK = frozenset({Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.F16, Kind.BF16})
COUNTS = ("block_count", "embedding_length", "feed_forward_length", "context_length", "attention.head_count")
TOKENIZER = ("tokenizer.ggml.model", "tokenizer.ggml.eos_token_id", "tokenizer.chat_template")
TOKENS = "tokenizer.ggml.tokens"
ONCE = ("token_embd.weight", "output_norm.weight")
EVERY = ("attn_output.weight", "ffn_down.weight", "ffn_up.weight")  # in every block of the decoders we adapt
# Type -> (its bits as whole numbers, the mask that leaves the sign out, from where on it is infinite or no number).
FLOATS: dict[Kind, tuple[np.dtype[Any], int, int]] = {
    Kind.F16: (np.dtype("<u2"), 0x7FFF, 0x7C00),
    Kind.BF16: (np.dtype("<u2"), 0x7FFF, 0x7F80),
    Kind.F32: (np.dtype("<u4"), 0x7FFFFFFF, 0x7F800000),
}
PIECE = 1 << 24  # numbers in memory at a time
LAYER = re.compile(r"blk\.(\d+)\.(.+)")


def verify(path: Path, quantisation: str, model: Path | None = None) -> dict[str, int]:
    """Returns how many tensors have which type. `model` = the safetensors folder it was made of, if there is one.

    Raises GgufInvalid for a broken file, missing metadata, a tensor missing, surplus, or of a wrong shape or type, and
    for a number that is none: a converter makes infinity of what F16 cannot hold, without a word.
    """
    header = open_header(path)
    _metadata(header)
    _blocks(header)
    if model is not None:
        _as_planned(header, layout(model, header.architecture))
    _types(header, quantisation)
    _finite(header)
    return dict(Counter(info.kind.name for info in header.tensors.values()))


def open_header(path: Path) -> Header:
    """Magic, version, alignment, counts, and tensors that lie whole and apart. Raises GgufInvalid for anything else."""
    try:
        header = read_header(path)
        alignment = int(header.values.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT))
    except BaseUnusable as error:
        raise GgufInvalid(where=path, detail=error.detail) from error
    end = 0
    for name, info in sorted(header.tensors.items(), key=lambda item: item[1].offset):
        if info.offset % alignment or info.offset < end:
            raise GgufInvalid(where=path, detail=f"{name}: offset {info.offset} lies in another tensor or is unaligned")
        end = info.offset + info.size
    return header


def _metadata(header: Header) -> None:
    architecture_of(header.architecture, header.path)
    for key in COUNTS:
        value = header.of_architecture(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise GgufInvalid(where=header.path, detail=f"{header.architecture}.{key} = {value!r}")
    for key in TOKENIZER:
        if header.values.get(key) in (None, ""):
            raise GgufInvalid(where=header.path, detail=f"missing {key}")
    tokens = header.lengths.get(TOKENS, 0)
    if not tokens:
        raise GgufInvalid(where=header.path, detail=f"missing {TOKENS}")
    for key, value in header.values.items():
        if key.endswith("_token_id") and not (isinstance(value, int) and 0 <= value < tokens):
            raise GgufInvalid(where=header.path, detail=f"{key} = {value!r}, {tokens} tokens")
    needed = "merges" if header.values["tokenizer.ggml.model"] == "gpt2" else "scores"
    if not header.lengths.get(f"tokenizer.ggml.{needed}"):
        raise GgufInvalid(where=header.path, detail=f"missing tokenizer.ggml.{needed}")


def _blocks(header: Header) -> None:
    """Complete in itself: every block there, each with the same tensors of the same shapes; widths as the keys say."""
    parts: dict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for name, info in header.tensors.items():
        if found := LAYER.fullmatch(name):
            parts[int(found[1])][found[2]] = info.shape
    count = header.of_architecture("block_count")
    if surplus := [block for block in parts if block >= count]:
        raise GgufInvalid(where=header.path, detail=f"blk.{surplus[0]}: {count} blocks expected")
    pattern = dict.fromkeys(EVERY) | max(parts.values(), key=len, default={})
    for block in range(count):
        for part in pattern:
            if part not in parts[block]:
                raise GgufInvalid(where=header.path, detail=f"missing blk.{block}.{part}")
            if parts[block][part] != pattern[part]:
                raise GgufInvalid(where=header.path, detail=f"blk.{block}.{part}: shape {parts[block][part]}")
    _widths(header)


def _widths(header: Header) -> None:
    hidden, tokens = header.of_architecture("embedding_length"), header.lengths[TOKENS]
    for name in ONCE:
        if name not in header.tensors:
            raise GgufInvalid(where=header.path, detail=f"missing {name}")
    wanted = {"token_embd.weight": (tokens, hidden), "output.weight": (tokens, hidden), "output_norm.weight": (hidden,)}
    for name, shape in wanted.items():
        info = header.tensors.get(name)
        if info is not None and info.shape != shape:
            raise GgufInvalid(where=header.path, detail=f"{name}: {info.shape}, {shape} expected")
    for name, info in header.tensors.items():
        if name.endswith("attn_output.weight") and (len(info.shape) != 2 or info.shape[0] != hidden):
            raise GgufInvalid(where=header.path, detail=f"{name}: {info.shape}, hidden {hidden}")


def _as_planned(header: Header, planned: Layout) -> None:
    """Every tensor of the checkpoint is there in its shape, and nothing but these and the rope's factors."""
    if missing := sorted(planned.keys() - header.tensors.keys()):
        raise GgufInvalid(where=header.path, detail=f"missing {missing[0]} (+{len(missing) - 1})")
    if surplus := sorted(header.tensors.keys() - planned.keys() - ROPE):
        raise GgufInvalid(where=header.path, detail=f"surplus {surplus[0]} (+{len(surplus) - 1})")
    for name, (shape, _) in planned.items():
        found = header.tensors[name].shape
        if name in ("token_embd.weight", "output.weight"):  # unused rows at the end may be cut; _widths has the tokens
            found, shape = found[1:], shape[1:]
        if found != shape:
            raise GgufInvalid(where=header.path, detail=f"{name}: {header.tensors[name].shape}, {shape} expected")


def _types(header: Header, quantisation: str) -> None:
    if quantisation not in TYPES:
        raise GgufInvalid(where=header.path, detail=f"{quantisation} ({', '.join(TYPES)})")
    main, besides = TYPES[quantisation]
    block, _ = gguf.GGML_QUANT_SIZES[main]
    fitting: set[Kind] = set()
    for name, info in header.tensors.items():
        fits = len(info.shape) > 1 and info.shape[-1] % block == 0
        allowed = {main} | besides | (set() if fits else FALLBACK) if len(info.shape) > 1 else {Kind.F32}
        if info.kind not in allowed:
            raise GgufInvalid(where=header.path, detail=f"{name} is {info.kind.name}: no {quantisation} tensor")
        fitting |= {info.kind} if fits else set()
    if fitting and main not in fitting:
        raise GgufInvalid(where=header.path, detail=f"no {main.name} tensor: {sorted(k.name for k in fitting)}")


def _finite(header: Header) -> None:
    """Of the tensors in floating point; those in blocks are llama.cpp's own making from them."""
    for name, info in header.tensors.items():
        if info.kind not in FLOATS:
            continue
        bits, mask, infinite = FLOATS[info.kind]
        length = info.size // bits.itemsize
        for start in range(0, length, PIECE):
            offset = info.offset + start * bits.itemsize
            found = np.fromfile(header.path, bits, min(PIECE, length - start), offset=offset)
            if int((found & mask).max()) >= infinite:
                raise GgufInvalid(where=header.path, detail=f"{name}: a number that is infinite or none")
