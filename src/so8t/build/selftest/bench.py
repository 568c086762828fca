"""What the checks of a card work on: the device under test, a folder, and a small model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Phi3Config, Phi3ForCausalLM


@dataclass(slots=True)
class Bench:
    """The device under test and a folder for what the checks write."""

    device: torch.device
    work: Path
    _base: Path | None = None

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def base(self) -> Path:
        """A random Phi-3 of two layers in bf16-exact numbers, written once. All widths are multiples of 64."""
        if self._base is None:
            self._base = self.work / "base"
            make_base().save_pretrained(self._base)
        return self._base


def make_base() -> Phi3ForCausalLM:
    """Phi-4-mini's shape in small: fused projections, grouped KV heads, tied embeddings."""
    config = Phi3Config(
        vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, original_max_position_embeddings=512,
        tie_word_embeddings=True, sliding_window=None, initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        model: Any = Phi3ForCausalLM(config)
    made: Phi3ForCausalLM = model.bfloat16().float()
    return made
