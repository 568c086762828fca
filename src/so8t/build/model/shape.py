"""The arithmetic of gates and loss, apart from torch, so that a plan can be made on a machine that has none."""

from __future__ import annotations

BLOCK = 8
SKEW_NUMBERS = BLOCK * (BLOCK - 1) // 2  # 28
CHUNK_LOGITS = 2**24  # logits of the loss that exist at a time: 64 MB in fp32


def gate_parameters(layers: int, hidden: int) -> int:
    """28 a block: 344,064 for Phi-4-mini, where the plan counts the 786,432 entries of the matrices."""
    return layers * (hidden // BLOCK) * SKEW_NUMBERS


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits the loss holds at a time."""
    return max(16, CHUNK_LOGITS // vocabulary)
