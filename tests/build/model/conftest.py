"""GGUF files as llama.cpp's converter writes them, from tiny transformers models: what the reader is held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

ARCHITECTURES = {
    "phi3": gguf.MODEL_ARCH.PHI3, "llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3, "gemma2": gguf.MODEL_ARCH.GEMMA2, "gemma3": gguf.MODEL_ARCH.GEMMA3,
}  # fmt: skip
CONTROL, NORMAL, BYTE = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL), int(gguf.TokenType.BYTE)
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")


def write(path: Path, architecture: str, model: Any, tokenizer: Any = None, **more: Any) -> Path:
    """`tokenizer` = a byte-level one; None = a SentencePiece-like vocabulary with Gemma's turn tokens.

    `more` = keys to set (or, with value None, to leave out) under the architecture's name.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    for key, value in (_metadata(architecture, model.config) | more).items():
        if value is not None:
            _add(writer, f"{architecture}.{key}", value)
    if tokenizer is None:
        _sentencepiece(writer, model.config.vocab_size)
    else:
        _byte_level(writer, tokenizer, model.config.vocab_size)
    _tensors(writer, architecture, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def _metadata(architecture: str, c: Any) -> dict[str, Any]:
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    rope = c.rope_parameters
    values = {
        "context_length": c.max_position_embeddings, "embedding_length": c.hidden_size,
        "block_count": c.num_hidden_layers, "feed_forward_length": c.intermediate_size,
        "attention.head_count": c.num_attention_heads, "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps, "attention.key_length": head,
        "attention.value_length": head, "rope.freq_base": rope.get("full_attention", rope).get("rope_theta"),
    }  # fmt: skip
    if architecture == "llama":
        values["rope.dimension_count"] = head
    if architecture == "phi3":
        values["rope.dimension_count"] = int(head * rope.get("partial_rotary_factor", 1.0))
        values["rope.scaling.original_context_length"] = c.original_max_position_embeddings
        values["attention.sliding_window"] = c.sliding_window or 0
    if architecture == "gemma2":
        values |= {n: float(getattr(c, n)) for n in ("attn_logit_softcapping", "final_logit_softcapping")}
    if architecture == "gemma3" and rope["full_attention"]["rope_type"] == "linear":
        values |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["full_attention"]["factor"])}
    if architecture.startswith("gemma"):
        values["attention.sliding_window"] = c.sliding_window
    return values


def _tensors(writer: gguf.GGUFWriter, architecture: str, model: Any) -> None:
    config = model.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[architecture], config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = tensor.numpy().astype(np.float32)
        if architecture == "llama" and ("q_proj" in key or "k_proj" in key):
            heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
            array = _permuted(array, heads)
        if architecture.startswith("gemma") and key.endswith("norm.weight"):
            array = array + 1
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(array))
    rope = config.rope_parameters
    if "long_factor" in rope:
        for which in ("long", "short"):
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(rope[f"{which}_factor"], np.float32))
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_freqs(config))


def _permuted(array: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp pairs neighbours where transformers pairs halves."""
    rows = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return rows.swapaxes(1, 2).reshape(array.shape)


def _llama3_freqs(config: Any) -> np.ndarray:
    """From transformers' own frequencies: how much slower each turns than without the scaling."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    theta, head = config.rope_parameters["rope_theta"], 2 * len(scaled)
    plain = 1.0 / theta ** (torch.arange(0, head, 2, dtype=torch.float64) / head)
    return (plain / scaled.double()).numpy().astype(np.float32)


def _byte_level(writer: gguf.GGUFWriter, tokenizer: Any, size: int) -> None:
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, kinds = [f"[PAD{i}]" for i in range(size)], [int(gguf.TokenType.UNUSED)] * size
    for token, number in data["model"]["vocab"].items():
        tokens[number], kinds[number] = token, NORMAL
    for token in data["added_tokens"]:
        tokens[token["id"]], kinds[token["id"]] = token["content"], CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)


def sentencepiece_tokens(size: int) -> tuple[list[str], list[int]]:
    """Gemma's specials, 16 of its 256 byte tokens, then characters and a few pairs."""
    pieces: Sequence[str] = [
        *"▁abcdefghijklmnopqrstuvwxyzあいうえおかきくけこ締日は権限社内<>_",
        "ab",
        "▁a",
        "日は",
        "社内",
    ]
    tokens = [*GEMMA_SPECIAL, *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    kinds = [CONTROL] * len(GEMMA_SPECIAL) + [BYTE] * 256 + [NORMAL] * len(pieces)
    tokens += [f"<unused{i}>" for i in range(size - len(tokens))]
    return tokens, kinds + [CONTROL] * (size - len(kinds))


def _sentencepiece(writer: gguf.GGUFWriter, size: int) -> None:
    tokens, kinds = sentencepiece_tokens(size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_space_prefix(False)


@pytest.fixture(scope="session")
def write_gguf() -> Callable[..., Path]:
    """write() above."""
    return write


@pytest.fixture(scope="session")
def gemma_tokens() -> list[str]:
    """The tokens of a written Gemma-like vocabulary of 512."""
    return sentencepiece_tokens(512)[0]
