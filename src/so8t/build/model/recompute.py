"""Gradient checkpointing: a layer keeps its input alone and is computed again on the way back (plan 8.1, level 2)."""

from __future__ import annotations

from typing import Any

from so8t.build.model.quantisation import Kind


def recompute_layers(model: Any, kind: Kind, offload: bool = False) -> None:
    """Switch it on. `offload`: what is kept lies in main memory.

    torch's non-reentrant form drops what autograd saves, but bitsandbytes' int8 layers save their inputs outside of it
    (2.1 GiB on the 12 GB profile). The reentrant form runs the first forward pass without autograd and leaves nothing.
    """
    extra = {"offload": True} if offload else {}
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": kind == "int8"}, **extra)
    model.enable_input_require_grads()
