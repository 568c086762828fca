"""What turns hidden states into logits: the trainer makes its loss from these two and never sees all logits (M7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from so8t.core.errors import TargetMissing

PROBE = 8  # tokens
ROUNDING = 64  # units of the dtype's epsilon, relative to the largest logit


@dataclass(frozen=True, slots=True)
class Head:
    """logits = softcap tanh(linear(h) / softcap); softcap 0 = no cap (Gemma 2 has 30)."""

    linear: nn.Linear
    softcap: float = 0.0

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., features] -> [..., vocabulary]."""
        raw: Tensor = self.linear(hidden)
        return torch.tanh(raw / self.softcap) * self.softcap if self.softcap else raw


def output_head(causal: Any) -> Head:
    """The head of a decoder, by its own account. Raises TargetMissing when it does not end in a linear layer."""
    linear = causal.get_output_embeddings()
    if not isinstance(linear, nn.Linear):
        raise TargetMissing(where=type(causal).__name__, detail=f"lm_head: {type(linear).__name__}")
    return Head(linear, float(getattr(causal.config, "final_logit_softcapping", None) or 0.0))


@torch.no_grad()
def check_head(causal: Any) -> Head:
    """The head, once its logits have been seen to be the model's own on a short probe.

    Raises TargetMissing for an architecture that does more to its logits than Head knows (a scale, a bias of its own).
    """
    head = output_head(causal)
    ids = torch.arange(1, PROBE + 1, device=head.linear.weight.device)[None] % causal.config.vocab_size
    training = causal.training
    causal.eval()
    try:
        own = causal(input_ids=ids, use_cache=False).logits
        ours = head.logits(causal.model(input_ids=ids, use_cache=False).last_hidden_state)
    finally:
        causal.train(training)
    difference = float((own.float() - ours.float()).abs().max())
    if not difference <= ROUNDING * torch.finfo(own.dtype).eps * max(1.0, float(own.abs().max())):  # also NaN
        raise TargetMissing(where=type(causal).__name__, detail=f"lm_head: |logits - head(hidden)| = {difference:.2e}")
    return head
