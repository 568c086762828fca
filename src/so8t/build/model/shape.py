"""The arithmetic of the gates, apart from torch, so that a plan can be made on a machine that has none."""

from __future__ import annotations

BLOCK = 8
SKEW_NUMBERS = BLOCK * (BLOCK - 1) // 2  # 28


def gate_parameters(layers: int, hidden: int) -> int:
    """28 a block: 344,064 for Phi-4-mini, where the plan counts the 786,432 entries of the matrices."""
    return layers * (hidden // BLOCK) * SKEW_NUMBERS
