"""A GGUF read back after it was written: magic, metadata, every tensor of every layer."""

from __future__ import annotations

from pathlib import Path

import gguf

from so8t.core.errors import GgufInvalid


def verify(path: Path, quantisation: str, layers: int) -> dict[str, int]:
    """Read the file back: magic, metadata, every tensor of every layer. Returns how many tensors have which type."""
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise GgufInvalid(where=path, detail=str(error)) from error
    names = {t.name for t in reader.tensors}
    parts = ("attn_qkv", "attn_output", "ffn_up", "ffn_down", "attn_norm", "ffn_norm")
    wanted = {f"blk.{i}.{p}.weight" for i in range(layers) for p in parts} | {"token_embd.weight", "output_norm.weight"}
    if missing := sorted(wanted - names):
        raise GgufInvalid(where=path, detail=f"missing {missing[0]} (+{len(missing) - 1})")
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.chat_template", "phi3.block_count"):
        if key not in reader.fields:
            raise GgufInvalid(where=path, detail=f"missing {key}")
    types: dict[str, int] = {}
    for tensor in reader.tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
    expected = {"F16": "F16", "Q8_0": "Q8_0", "Q4_K_M": "Q4_K"}[quantisation]
    if expected not in types:
        raise GgufInvalid(where=path, detail=f"no {expected} tensor: {types}")
    return types
