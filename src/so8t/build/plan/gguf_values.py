"""The sizes that a GGUF file's header gives, under the names of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t.build.model.gguf_header import Header, read_header
from so8t.core.errors import BaseUnusable

MODEL_TYPES = {"gemma3": "gemma3_text"}  # where the two have different names
KEYS = {
    "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length", "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length", "max_position_embeddings": "context_length",
}  # fmt: skip


def gguf_values(file: Path) -> dict[str, Any]:
    """Raises BaseUnusable for a file that is broken or holds no token embedding."""
    header = read_header(file)
    if (embedding := header.tensors.get("token_embd.weight")) is None:
        raise BaseUnusable(where=file, detail="token_embd.weight")
    found = {ours: value for ours, key in KEYS.items() if (value := header.of_architecture(key)) is not None}
    return found | {
        "model_type": MODEL_TYPES.get(header.architecture, header.architecture), "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "output.weight" not in header.tensors, "attention_bias": _biased(header),
        "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip


def _biased(header: Header) -> bool:
    return "blk.0.attn_q.bias" in header.tensors
