"""Gradient noise: its size, its seed, and none at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from so8t.build.train.noise import add_noise
from so8t.core.config import NoiseConfig


def parameters() -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(200, 100)), nn.Parameter(torch.zeros(50, 100)), nn.Parameter(torch.zeros(3))]
    made[0].grad = torch.full((200, 100), 2.0)
    made[1].grad = torch.full((50, 100), 1e-4)
    return made  # the third has no gradient


def noise(config: NoiseConfig, seed: int = 8, step: int = 0) -> list[torch.Tensor]:
    made, plain = parameters(), parameters()
    add_noise(made, config, seed, step)
    assert made[2].grad is None
    return [
        a.grad - b.grad for a, b in zip(made[:2], plain[:2], strict=True) if a.grad is not None and b.grad is not None
    ]


def test_relative_noise_is_a_share_of_each_tensors_rms() -> None:
    large, small = noise(NoiseConfig(sigma=0.05))
    assert float(large.std()) == pytest.approx(0.05 * 2.0, rel=0.03)
    assert float(small.std()) == pytest.approx(0.05 * 1e-4, rel=0.05)
    assert abs(float(large.mean())) < 0.003


def test_absolute_noise_is_the_same_for_all() -> None:
    large, small = noise(NoiseConfig(sigma=0.05, scale="absolute"))
    assert float(large.std()) == pytest.approx(0.05, rel=0.03)
    assert float(small.std()) == pytest.approx(0.05, rel=0.05)


def test_deterministic_by_seed_and_step() -> None:
    config = NoiseConfig(sigma=0.1)
    before = torch.get_rng_state()
    first = noise(config)[0]
    assert torch.equal(first, noise(config)[0])
    assert not torch.equal(first, noise(config, step=1)[0])
    assert not torch.equal(first, noise(config, seed=9)[0])
    assert torch.equal(before, torch.get_rng_state())  # dropout's random numbers are not touched


def test_two_tensors_get_different_noise() -> None:
    a, b = noise(NoiseConfig(sigma=0.1, scale="absolute"))
    assert not torch.equal(a[:50], b)


def test_sigma_zero_leaves_the_gradient_alone() -> None:
    for difference in noise(NoiseConfig(sigma=0.0)):
        assert torch.equal(difference, torch.zeros_like(difference))
