"""Gradient noise (plan 2.2), once per optimizer step after clipping, seeded by (seed, step) (SPEC M8)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from so8t.core.config import NoiseConfig


def add_noise(parameters: Iterable[nn.Parameter], config: NoiseConfig, seed: int, step: int) -> None:
    """g' = g + N(0, sigma^2); relative: sigma is a share of each tensor's gradient RMS."""
    if config.sigma == 0:
        return
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    for parameter in parameters:
        if parameter.grad is None:
            continue
        noise = torch.randn(parameter.shape, generator=generator).to(parameter.grad)
        size = parameter.grad.square().mean().sqrt() if config.scale == "relative" else 1.0
        parameter.grad.add_(noise * size, alpha=config.sigma)
