"""exp of skew matrices and its gradient, against torch's own in fp64."""

from __future__ import annotations

import math

import pytest
import torch

from so8t.build.model.exponential import skew_exponential
from so8t.build.model.rotation import skew


@pytest.mark.parametrize("strength", [1e-9, 1e-3, 0.02, 0.1, 0.5, 2.0])
def test_value_and_gradient(strength: float) -> None:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(3, 40, 28, generator=generator) * strength
    weights = torch.randn(3, 40, 8, 8, generator=generator)
    ours, exact = numbers.clone().requires_grad_(), numbers.double().requires_grad_()
    r, reference = skew_exponential(skew(ours)), torch.matrix_exp(skew(exact))
    r.backward(weights)
    reference.backward(weights.double())
    assert ours.grad is not None and exact.grad is not None
    squarings = max(0.0, math.log2(max(strength * 20, 1e-9) / 0.5))
    assert (r - reference).abs().max() < 4e-7 * 2**squarings + 4e-7  # rounding doubles with every squaring
    assert (ours.grad - exact.grad).norm() / exact.grad.norm() < 2e-6 * 2**squarings + 2e-6


def test_zero_gives_the_identity_exactly() -> None:
    assert torch.equal(skew_exponential(torch.zeros(5, 8, 8)), torch.eye(8).expand(5, 8, 8))


def test_fp64_is_torchs_own() -> None:
    a = skew(torch.randn(4, 28, dtype=torch.float64))
    assert torch.equal(skew_exponential(a), torch.matrix_exp(a))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_so(value: float) -> None:
    """The watch over divergence must see it."""
    numbers = torch.zeros(2, 28)
    numbers[0, 3] = value
    assert not torch.isfinite(skew_exponential(skew(numbers))).all()
