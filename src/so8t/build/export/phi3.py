"""A folded Phi-3 / Phi-4-mini checkpoint -> GGUF F16, by the official `gguf` writer (SPEC "GGUF, llama.cpp, Ollama").

Fused tensors, longrope factors, tied embeddings and the tokenizer are written as llama.cpp's own converter does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open

from so8t.build.model.tokenizer import chat_format
from so8t.core.errors import GgufInvalid
from so8t.core.files import read_json

# First characters of a tokenizer's splitting rule -> llama.cpp's name for it. An unknown rule is refused, not guessed.
# The first is Phi-4-mini's, the second the tiny profile's; they differ only where combining marks are not composed.
PRE_TOKENIZERS = {r"[^\r\n\p{L}\p{N}]?[\p{Lu}": "gpt-4o", r"[^\r\n\p{L}\p{N}]?(?:(?![a-z])": "gpt-4o"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What GGUF metadata needs of a Phi-3 configuration."""

    hidden: int
    heads: int
    kv_heads: int
    layers: int
    feed_forward: int
    context: int
    original_context: int
    rotary: int
    rope_theta: float
    epsilon: float
    vocabulary: int
    sliding_window: int
    rope: Mapping[str, Any]

    @classmethod
    def read(cls, config: Mapping[str, Any], where: Path) -> Shape:
        if "Phi3ForCausalLM" not in (config.get("architectures") or []):
            raise GgufInvalid(
                where=where, detail=f"architectures {config.get('architectures')}: Phi3ForCausalLM expected"
            )
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        context = config["max_position_embeddings"]
        partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
        original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
        return cls(
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            layers=config["num_hidden_layers"],
            feed_forward=config["intermediate_size"],
            context=context,
            original_context=original or context,
            rotary=int(partial * config["hidden_size"]) // config["num_attention_heads"],
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10000.0))),
            epsilon=config["rms_norm_eps"],
            vocabulary=config["vocab_size"],
            sliding_window=config.get("sliding_window") or 0,
            rope=rope,
        )


def export_f16(model: Path, out: Path, name: str) -> None:
    """Write `out` from a transformers folder; raises GgufInvalid for a layout or tokenizer it does not know."""
    shape = Shape.read(read_json(model / "config.json"), model)
    partial = out.with_name(f".{out.name}.partial")
    writer = gguf.GGUFWriter(partial, "phi3")
    _metadata(writer, shape, name)
    _tokenizer(writer, model, shape)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.PHI3, shape.layers)
    for key, tensor in tensors(model):
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise GgufInvalid(where=model, detail=f"tensor {key}")
        array = tensor.float().numpy()
        writer.add_tensor(target, array if array.ndim == 1 else array.astype(np.float16))
    _longrope(writer, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(out)


def tensors(model: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of a safetensors folder, one in memory at a time."""
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, "pt") as f:
            for key in f.keys():  # noqa: SIM118 (safe_open is no mapping)
                yield key, f.get_tensor(key)


def _metadata(writer: gguf.GGUFWriter, shape: Shape, name: str) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    # llama.cpp refuses a vocabulary without </s> when general.name says phi-3.
    writer.add_name(re.sub(r"(?i)phi-?3", "phi", name))
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
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_sliding_window(shape.sliding_window)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _tokenizer(writer: gguf.GGUFWriter, model: Path, shape: Shape) -> None:
    tokenizer, config = read_json(model / "tokenizer.json"), read_json(model / "tokenizer_config.json")
    tokens = [f"[PAD{i}]" for i in range(shape.vocabulary)]
    types = [int(gguf.TokenType.UNUSED)] * shape.vocabulary
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], types[number] = token, int(gguf.TokenType.NORMAL)
    for token in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        tokens[token["id"]], types[token["id"]] = token["content"], int(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(tokenizer, model))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    numbers = {token: i for i, token in enumerate(tokens)}
    for key, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if (token := _content(config.get(key))) in numbers:
            add(numbers[token])
    if "<|end|>" in numbers:  # llama.cpp and Ollama stop at the end of a turn
        writer.add_eot_token_id(numbers["<|end|>"])
    writer.add_add_bos_token(bool(config.get("add_bos_token", False)))
    writer.add_chat_template(chat_format(model).template)


def _pre_tokenizer(tokenizer: Mapping[str, Any], model: Path) -> str:
    pre = tokenizer["pre_tokenizer"]
    parts = pre.get("pretokenizers") or [pre]
    rules = [p["pattern"].get("Regex", "") for p in parts if p["type"] == "Split"]
    for start, name in PRE_TOKENIZERS.items():
        if rules and rules[0].startswith(start):
            return name
    raise GgufInvalid(where=model / "tokenizer.json", detail="unknown pre-tokenizer")


def _longrope(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Long and short rotary factors with the attention factor of the longrope paper (arXiv 2402.13753)."""
    rope = shape.rope
    if not rope.get("long_factor"):
        return
    scale = shape.context / shape.original_context
    default = math.sqrt(1 + math.log(scale) / math.log(shape.original_context)) if scale > 1 else 1.0
    writer.add_rope_scaling_attn_factors(rope.get("attention_factor") or default)
    if len(rope["long_factor"]) != shape.rotary // 2:
        raise GgufInvalid(detail=f"long_factor {len(rope['long_factor'])} != {shape.rotary // 2}")
    writer.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
    writer.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))


def _content(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
