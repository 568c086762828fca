"""What a GGUF's header says of a model and transformers 5.23 does not read: without it the model loads and is wrong.

Key names and meanings: llama.cpp, gguf-py/gguf/constants.py and src/llama-model.cpp. What is not understood is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from so8t.build.model.gguf_header import Header
from so8t.core.errors import BaseUnusable

ARCHITECTURES = ("gemma2", "gemma3", "llama", "phi3", "qwen2", "qwen3")
# Llama 3.1 and 3.2: (factor, low, high frequency factor, original context); the file has only what follows from them.
LLAMA3 = ((8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 8192))
# llama.cpp scales the scores of the 27B models by hidden / heads, of all others by the head's width.
BIG_GEMMA = {("gemma2", 46), ("gemma3", 62)}


def amend(config: Any, header: Header, factors: dict[str, np.ndarray]) -> None:
    """Complete a configuration that transformers made of a GGUF. `factors` = the rope tensors of the file.

    Raises BaseUnusable for a rope that has no counterpart.
    """
    if header.architecture == "phi3":
        _phi3(config, header, factors)
    elif header.architecture == "llama":
        _llama(config, header, factors)
    elif header.architecture in ("gemma2", "gemma3"):
        _gemma(config, header)
    elif width := header.of_architecture("attention.key_length"):
        config.head_dim = width
    _biases(config, header)
    _scaling(config, header)
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):  # else another checkpoint's defaults
        setattr(config, f"{name}_token_id", header.values.get(f"tokenizer.ggml.{key}_token_id"))


def _phi3(config: Any, header: Header, factors: dict[str, np.ndarray]) -> None:
    """Partial rotary and longrope; a window of 0 is none."""
    head = config.hidden_size // config.num_attention_heads
    rope = dict(config.rope_parameters)
    rope["partial_rotary_factor"] = (header.of_architecture("rope.dimension_count") or head) / head
    original = header.of_architecture("rope.scaling.original_context_length") or config.max_position_embeddings
    config.original_max_position_embeddings = rope["original_max_position_embeddings"] = original
    if "rope_factors_long.weight" in factors:
        rope |= {
            "rope_type": "longrope", "factor": config.max_position_embeddings / original,
            "long_factor": factors["rope_factors_long.weight"].tolist(),
            "short_factor": factors["rope_factors_short.weight"].tolist(),
        }  # fmt: skip
        if attention := header.of_architecture("rope.scaling.attn_factor"):
            rope["attention_factor"] = attention
    config.rope_parameters = rope
    config.sliding_window = header.of_architecture("attention.sliding_window") or None


def _llama(config: Any, header: Header, factors: dict[str, np.ndarray]) -> None:
    if (found := factors.get("rope_freqs.weight")) is None:
        return
    for factor, low, high, original in LLAMA3:
        rope = dict(config.rope_parameters) | {
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
            "original_max_position_embeddings": original,
        }  # fmt: skip
        made = llama3_factors(config.head_dim, rope)
        if len(made) == len(found) and np.allclose(made, found, rtol=1e-4):
            config.rope_parameters = rope
            return
    raise BaseUnusable(where=header.path, detail="rope_freqs: not Llama 3.1's nor 3.2's")


def llama3_factors(head: int, rope: dict[str, Any]) -> np.ndarray:
    """What llama.cpp's converter writes for Llama 3's rope: [head / 2] divisors of the frequencies."""
    theta, factor, original = rope["rope_theta"], rope["factor"], rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    wavelength = 2 * np.pi * theta ** (np.arange(0, head, 2) / head)
    smooth = (original / wavelength - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(wavelength < original / high, 1.0, np.where(wavelength > original / low, factor, between))


def _gemma(config: Any, header: Header) -> None:
    big = (header.architecture, config.num_hidden_layers) in BIG_GEMMA
    config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads if big else config.head_dim
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if cap := header.of_architecture(name):
            setattr(config, name, cap)


def _biases(config: Any, header: Header) -> None:
    if hasattr(config, "attention_bias"):
        config.attention_bias = "blk.0.attn_q.bias" in header.tensors
    if hasattr(config, "mlp_bias"):
        config.mlp_bias = "blk.0.ffn_up.bias" in header.tensors


def _scaling(config: Any, header: Header) -> None:
    """Linear scaling: Gemma 3 has it on its full layers only."""
    kind, factor = header.of_architecture("rope.scaling.type"), header.of_architecture("rope.scaling.factor")
    if kind in (None, "none", "longrope") or (kind == "linear" and factor in (None, 1.0)):
        return
    if kind != "linear":
        raise BaseUnusable(where=header.path, detail=f"rope scaling {kind}")
    rope = dict(config.rope_parameters)
    if "full_attention" in rope:
        rope["full_attention"] = dict(rope["full_attention"]) | {"rope_type": "linear", "factor": factor}
    else:
        rope |= {"rope_type": "linear", "factor": factor}
    config.rope_parameters = rope
