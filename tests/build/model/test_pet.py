"""PET: what the second difference penalises, what it must not see, and when it weighs how much."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from so8t.build.model.pet import Normalisation, pet_count, pet_loss, pet_sum, phase, second_difference, triples, weight
from so8t.core.config import PetConfig

ALL = pytest.mark.parametrize("normalisation", ["scale-free", "mean", "literal"])


def hidden(batch: int = 2, time: int = 9, features: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(batch, time, features, generator=torch.Generator().manual_seed(seed))


def test_second_difference_of_a_ramp_is_zero_and_of_a_parabola_constant() -> None:
    t = torch.arange(7.0)[None, :, None]
    assert torch.equal(second_difference(3 * t + 5), torch.zeros(1, 5, 1))
    assert torch.equal(second_difference(t * t), torch.full((1, 5, 1), 2.0))


@ALL
def test_ramp_costs_nothing(normalisation: Normalisation) -> None:
    ramp = torch.arange(12.0)[None, :, None] * torch.tensor([1.0, -2.0, 0.5]) + 1
    assert float(pet_loss(ramp, torch.ones(1, 12), normalisation)) == 0.0
    bent = ramp.clone()
    bent[0, 5] += 1
    assert float(pet_loss(bent, torch.ones(1, 12), normalisation)) > 0.0


def test_triples_stop_at_padding_and_borders() -> None:
    segments = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0, 0, 0]])
    assert triples(segments).tolist() == [[True, False, False, True, True, False, False, False]]


@ALL
def test_padding_and_other_documents_have_no_effect(normalisation: Normalisation) -> None:
    """The states of each document are the same alone, packed, and beside huge padding."""
    a, b = hidden(1, 6), hidden(1, 5, seed=1)
    huge = torch.full((1, 4, 4), 1e18)
    packed = torch.cat([a, huge[:, :1], b, huge], 1).requires_grad_()
    segments = torch.tensor([[1] * 6 + [0] + [2] * 5 + [0] * 4])
    loss = pet_loss(packed, segments, normalisation)
    la, lb = (pet_loss(x, torch.ones(1, x.shape[1]), normalisation) for x in (a, b))
    expected = la + lb if normalisation == "literal" else (4 * la + 3 * lb) / 7  # 4 and 3 triples
    assert torch.allclose(loss, expected)
    loss.backward()
    assert packed.grad is not None
    assert torch.isfinite(packed.grad).all()
    assert torch.equal(packed.grad[segments == 0], torch.zeros(5, 4))
    # Two documents side by side without padding: none of the border's triples count either.
    beside = pet_loss(torch.cat([a, b + 1e6], 1), torch.tensor([[1] * 6 + [2] * 5]), normalisation)
    alone = pet_loss(b + 1e6, torch.ones(1, 5), normalisation)
    assert torch.allclose(beside, la + alone if normalisation == "literal" else (4 * la + 3 * alone) / 7, rtol=1e-4)


def test_normalisations_are_what_they_say() -> None:
    h = hidden()
    segments = torch.ones(2, 9)
    d2 = second_difference(h)
    assert torch.allclose(pet_loss(h, segments, "mean"), d2.square().mean())
    assert torch.allclose(pet_loss(h, segments, "literal"), d2.square().sum() / 2)
    free = (d2.square().sum(-1) / h[:, 1:-1].square().sum(-1)).mean()
    assert torch.allclose(pet_loss(h, segments, "scale-free"), free)
    assert torch.allclose(pet_loss(100 * h, segments, "scale-free"), free)
    assert torch.allclose(pet_loss(100 * h, segments, "mean"), 1e4 * pet_loss(h, segments, "mean"))


def test_literal_is_the_sum_over_time_and_features_a_sample() -> None:
    """The plan's sum; a batch of two equal samples costs what one costs, a sample twice as long about twice."""
    one = hidden(1, 9)
    both = torch.cat([one, one])
    assert torch.allclose(pet_loss(both, torch.ones(2, 9), "literal"), pet_loss(one, torch.ones(1, 9), "literal"))
    assert torch.allclose(pet_loss(one, torch.ones(1, 9), "literal"), second_difference(one).square().sum())


def test_gradient_does_not_flow_through_the_scale() -> None:
    h = hidden(1, 5).requires_grad_()
    segments = torch.ones(1, 5)
    pet_loss(h, segments, "scale-free").backward()
    size = h.detach()[:, 1:-1].square().sum(-1)
    by_hand = h.detach().clone().requires_grad_()
    (second_difference(by_hand).square().sum(-1) / size).mean().backward()
    assert h.grad is not None and by_hand.grad is not None
    assert torch.allclose(h.grad, by_hand.grad)
    through = h.detach().clone().requires_grad_()
    (second_difference(through).square().sum(-1) / through[:, 1:-1].square().sum(-1)).mean().backward()
    assert through.grad is not None
    assert not torch.allclose(h.grad, through.grad, atol=1e-3)


@ALL
@pytest.mark.parametrize("time", [1, 2, 3])
def test_nothing_left_costs_nothing(normalisation: Normalisation, time: int) -> None:
    h = hidden(1, time).requires_grad_()
    assert float(pet_loss(h, torch.zeros(1, time), normalisation).detach()) == 0.0


@ALL
def test_zero_states_stay_finite(normalisation: Normalisation) -> None:
    h = torch.zeros(1, 6, 4, requires_grad=True)
    pet_loss(h, torch.ones(1, 6), normalisation).backward()
    assert h.grad is not None
    assert torch.isfinite(h.grad).all()


def test_low_precision_states_are_measured_in_fp32() -> None:
    h = hidden(1, 8)
    low = pet_loss(h.bfloat16(), torch.ones(1, 8), "mean")
    assert low.dtype == torch.float32
    assert torch.allclose(low, pet_loss(h.bfloat16().float(), torch.ones(1, 8), "mean"))


@pytest.mark.parametrize(
    ("progress", "number", "value"),
    [(0.0, 0, 0.1), (0.1999, 0, 0.1), (0.2, 1, 0.2), (0.5999, 1, 0.2), (0.6, 2, 0.4), (1.0, 2, 0.4)],
)
def test_phases_and_weights(progress: float, number: int, value: float) -> None:
    config = PetConfig(lambdas=(0.1, 0.2, 0.4))
    assert phase(progress, config) == number
    assert weight(progress, config) == value
    assert weight(progress, PetConfig(enabled=False, lambdas=(0.1, 0.2, 0.4))) == 0.0


def test_default_weights_are_the_measured_ones() -> None:
    assert [weight(p, PetConfig()) for p in (0, 0.2, 0.6, 1)] == [0.001, 0.005, 0.01, 0.01]


@ALL
def test_sums_of_parts_add_up_to_the_loss_of_the_whole(normalisation: Normalisation) -> None:
    """Micro-batches of any size: what the trainer does to keep the mathematics when it splits them."""
    h = hidden(5, 8)
    segments = torch.tensor([[1] * 8, [1] * 6 + [0] * 2, [1] * 4 + [2] * 4, [1] * 2 + [0] * 6, [1] * 5 + [0] * 3])
    count = pet_count(int(triples(segments).sum()), 5, 4, normalisation)
    parts = sum(pet_sum(h[i:j], segments[i:j], normalisation) for i, j in ((0, 1), (1, 4), (4, 5)))
    assert torch.allclose(torch.as_tensor(parts) / count, pet_loss(h, segments, normalisation))


@ALL
def test_gradient_is_that_of_autograd(normalisation: Normalisation) -> None:
    h = hidden(3, 8).requires_grad_()
    segments = torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 4 + [2] * 4])
    pet_sum(h, segments, normalisation).backward()
    other = h.detach().clone().requires_grad_()
    mask, d2 = triples(segments), second_difference(other)
    size = other.detach()[:, 1:-1].square().sum(-1) if normalisation == "scale-free" else 1.0
    ((d2.square().sum(-1) / size) * mask).sum().backward()
    assert h.grad is not None and other.grad is not None
    assert torch.allclose(h.grad, other.grad, rtol=1e-5, atol=1e-6)
