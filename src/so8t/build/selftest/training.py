"""One gated model on the device, and the gradients of one batch, as the trainer makes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.quantisation import load_bitsandbytes
from so8t.core.config import GateConfig, LoraConfig

SMOOTHING = 0.1


def gated(model: Any) -> GatedModel:
    """LoRA and gates that both do something, with the same numbers for the same shape on any device."""
    model.requires_grad_(False)
    made = attach(model, LoraConfig(rank=16, alpha=32, dropout=0.0), GateConfig())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in sorted(made.parameters().items()):
            size = 0.05 if "lora_B" in name else 0.1 if name == "rotations.skew" else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return made


def token_ids(rows: int, length: int, device: torch.device, vocabulary: int = 512) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(1, vocabulary, (rows, length), generator=generator).to(device)


def gradients(model: GatedModel, ids: Tensor) -> tuple[float, Tensor]:
    """(loss a token, all gradients as one vector in fp64 on the CPU, ordered by name)."""
    model.train()
    if model.rotations is not None:
        model.rotations.refresh()
    kept, labels = shift(model.hidden(ids), ids)
    loss = smoothed_cross_entropy(kept, labels, model.head.linear, SMOOTHING, None, model.head.softcap)
    (loss / labels.numel()).backward()  # type: ignore[no-untyped-call]
    if model.rotations is not None:
        model.rotations.pull_gradients()
    parts = [
        p.grad.detach().double().cpu().flatten() for _, p in sorted(model.parameters().items()) if p.grad is not None
    ]
    return float(loss.detach()) / labels.numel(), torch.cat(parts)


def distance(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|"""
    return float((a - b).norm() / b.norm())


def rounded_weights(model: Any) -> dict[str, Tensor]:
    """Every quantised weight as the fp32 numbers it stands for: int8 W SCB / 127, nf4 by bitsandbytes' own reading."""
    package = load_bitsandbytes()
    found = {}
    for name, module in model.named_modules():
        weight: Any = getattr(module, "weight", None)
        if isinstance(module, package.nn.Linear8bitLt):
            scale = weight.SCB if weight.SCB is not None else module.state.SCB
            found[name] = (weight.data.float() * scale[:, None].float() / 127).cpu()
        elif isinstance(module, package.nn.Linear4bit):
            found[name] = package.functional.dequantize_4bit(weight.data, weight.quant_state).float().cpu()
    return found
