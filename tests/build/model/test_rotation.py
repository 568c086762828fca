"""SO(8) rotations: group properties, gradients, precision, and the shared exponential of a whole model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from so8t.build.model.rotation import (
    BLOCK,
    Parametrisation,
    Rotations,
    determinant_error,
    orthogonality_error,
    rotate,
    rotation,
    skew,
)
from so8t.build.model.shape import SKEW_NUMBERS

BOTH = pytest.mark.parametrize("kind", ["exp", "cayley"])
NUMBERS = hnp.arrays(np.float64, (SKEW_NUMBERS,), elements=st.floats(-3, 3, allow_subnormal=False))
IDENTITY = torch.eye(BLOCK, dtype=torch.float64)


def random_numbers(*shape: int, scale: float = 0.5, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, SKEW_NUMBERS, generator=generator, dtype=torch.float64).mul(scale).to(dtype)


def test_skew_is_antisymmetric_and_uses_each_number_once() -> None:
    numbers = torch.arange(1, SKEW_NUMBERS + 1, dtype=torch.float64)
    a = skew(numbers)
    assert torch.equal(a, -a.mT)
    assert torch.equal(a[tuple(torch.triu_indices(BLOCK, BLOCK, 1))], numbers)


@BOTH
@given(values=NUMBERS)
@settings(deadline=None, max_examples=60)
def test_rotations_are_in_so8(kind: Parametrisation, values: np.ndarray) -> None:
    r = rotation(torch.from_numpy(values), kind)
    assert orthogonality_error(r) < 1e-10
    assert determinant_error(r) < 1e-10  # +1: a reflection would give 2


@BOTH
@given(values=NUMBERS)
@settings(deadline=None, max_examples=40)
def test_inverse_is_transpose_is_rotation_of_minus(kind: Parametrisation, values: np.ndarray) -> None:
    numbers = torch.from_numpy(values)
    r, back = rotation(numbers, kind), rotation(-numbers, kind)
    assert torch.allclose(back, r.mT, atol=1e-10)
    assert torch.allclose(torch.linalg.inv(r), r.mT, atol=1e-9)


@BOTH
@given(a=NUMBERS, b=NUMBERS)
@settings(deadline=None, max_examples=30)
def test_products_stay_in_the_group(kind: Parametrisation, a: np.ndarray, b: np.ndarray) -> None:
    product = rotation(torch.from_numpy(a), kind) @ rotation(torch.from_numpy(b), kind)
    assert orthogonality_error(product) < 1e-10
    assert determinant_error(product) < 1e-10


@given(values=NUMBERS, s=st.floats(-1, 1), t=st.floats(-1, 1))
@settings(deadline=None, max_examples=30)
def test_exp_is_a_one_parameter_group(values: np.ndarray, s: float, t: float) -> None:
    numbers = torch.from_numpy(values)
    assert torch.allclose(rotation(s * numbers) @ rotation(t * numbers), rotation((s + t) * numbers), atol=1e-9)


@BOTH
def test_identity_at_zero(kind: Parametrisation) -> None:
    r = rotation(torch.zeros(3, SKEW_NUMBERS, dtype=torch.float64), kind)
    assert torch.equal(r, IDENTITY.expand(3, BLOCK, BLOCK))


def test_exp_turns_a_plane_by_the_angle() -> None:
    """A known rotation, so that a wrong sign or a transpose is seen."""
    numbers = torch.zeros(SKEW_NUMBERS, dtype=torch.float64)
    numbers[0] = 0.3  # A[0, 1] = 0.3
    expected = IDENTITY.clone()
    expected[:2, :2] = torch.tensor([[math.cos(0.3), math.sin(0.3)], [-math.sin(0.3), math.cos(0.3)]])
    assert torch.allclose(rotation(numbers), expected, atol=1e-14)
    angle = 2 * math.atan(0.15)  # Cayley turns by 2 atan(a / 2)
    expected[:2, :2] = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    assert torch.allclose(rotation(numbers, "cayley"), expected, atol=1e-14)


def test_exp_and_cayley_agree_near_zero_only() -> None:
    small, large = random_numbers(20, scale=1e-3), random_numbers(20, scale=0.3)
    assert (rotation(small) - rotation(small, "cayley")).abs().max() < 1e-6
    assert (rotation(large) - rotation(large, "cayley")).abs().max() > 1e-2


@BOTH
@pytest.mark.parametrize("scale", [0.0, 0.4])
def test_gradient_against_finite_differences(kind: Parametrisation, scale: float) -> None:
    numbers = random_numbers(2, scale=scale).requires_grad_()
    assert torch.autograd.gradcheck(lambda n: rotation(n, kind), (numbers,))


@BOTH
@given(values=NUMBERS)
@settings(deadline=None, max_examples=30)
def test_gradient_is_finite(kind: Parametrisation, values: np.ndarray) -> None:
    numbers = torch.from_numpy(values).float().requires_grad_()
    (rotation(numbers, kind) * torch.arange(64.0).reshape(8, 8)).sum().backward()
    assert numbers.grad is not None
    assert torch.isfinite(numbers.grad).all()


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_raised(kind: Parametrisation, dtype: torch.dtype) -> None:
    numbers = random_numbers(6, dtype=dtype)
    r = rotation(numbers, kind)
    assert r.dtype == torch.float32
    assert orthogonality_error(r) < 1e-5
    assert torch.allclose(r.double(), rotation(numbers.double(), kind), atol=1e-5)


@BOTH
def test_autocast_does_not_damage_it(kind: Parametrisation) -> None:
    numbers = random_numbers(6, dtype=torch.float32)
    x = torch.randn(4, 6 * BLOCK, generator=torch.Generator().manual_seed(1))
    plain = rotation(numbers, kind)
    turned = rotate(x, plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = rotation(numbers, kind)
        turned_cast = rotate(x, cast)
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)
    assert turned_cast.dtype == x.dtype
    assert torch.equal(turned, turned_cast)


def test_rotate_keeps_norms_and_is_a_block_diagonal_product() -> None:
    r = rotation(random_numbers(5))
    x = torch.randn(2, 3, 5 * BLOCK, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = rotate(x, r)
    assert y.shape == x.shape
    assert torch.allclose(y, x @ torch.block_diag(*r).mT, atol=1e-13)  # y = R x
    assert not torch.allclose(y, x @ torch.block_diag(*r), atol=1e-3)  # and not y = R^T x
    norms = [t.reshape(2, 3, 5, BLOCK).norm(dim=-1) for t in (x, y)]
    assert torch.allclose(*norms, atol=1e-13)


def test_rotate_keeps_the_dtype_of_x() -> None:
    x = torch.ones(2, 16, dtype=torch.bfloat16)
    assert rotate(x, rotation(torch.zeros(2, SKEW_NUMBERS))).dtype == torch.bfloat16


def test_error_measures_see_errors() -> None:
    r = rotation(random_numbers(3))
    assert orthogonality_error(1.01 * r) > 1e-2
    reflected = r.clone()
    reflected[1, 0] *= -1
    assert orthogonality_error(reflected) < 1e-12
    assert determinant_error(reflected) > 1.9


@pytest.mark.parametrize("hidden", [4, 63, 100])
def test_hidden_size_must_be_a_multiple_of_eight(hidden: int) -> None:
    with pytest.raises(ValueError, match=str(hidden)):
        Rotations(1, hidden)


class Toy(nn.Module):
    """Three projections in a row, each with a gate, optionally under gradient checkpointing."""

    def __init__(self, layers: int = 3, hidden: int = 16, checkpointed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers)).requires_grad_(False)
        self.checkpointed = checkpointed

    def forward(self, x: Tensor, used: int = 3) -> Tensor:
        for layer in list(self.layers)[:used]:
            call = layer.__call__
            x = torch.utils.checkpoint.checkpoint(call, x, use_reentrant=False) if self.checkpointed else call(x)
            x = torch.tanh(x)
        return x


def direct_gradient(numbers: Tensor, batches: list[Tensor], kind: Parametrisation, used: int = 3) -> Tensor:
    """d loss / d skew without leaves and hooks: the exponential inside the graph of every batch."""
    toy, leaf = Toy(), numbers.clone().requires_grad_()
    for x in batches:
        for i, layer in enumerate(list(toy.layers)[:used]):
            x = torch.tanh(rotate(layer(x), rotation(leaf[i], kind)))
        (x.square().sum() + x.sum()).backward()
    assert leaf.grad is not None
    return leaf.grad


@BOTH
@pytest.mark.parametrize("checkpointed", [False, True])
def test_leaf_accumulation_equals_direct_differentiation(kind: Parametrisation, checkpointed: bool) -> None:
    toy, rotations = Toy(checkpointed=checkpointed), Rotations(3, 16, kind)
    start = random_numbers(3, 2, dtype=torch.float32)
    with torch.no_grad():
        rotations.skew.copy_(start)
    rotations.refresh()
    rotations.attach(list(toy.layers))
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randn(4, 16, generator=generator) for _ in range(5)]
    for x in batches:
        y = toy(x.clone().requires_grad_(checkpointed))
        (y.square().sum() + y.sum()).backward()
    rotations.pull_gradients()
    expected = direct_gradient(start, batches, kind)
    assert rotations.skew.grad is not None
    assert expected.abs().max() > 0.1
    assert torch.allclose(rotations.skew.grad, expected, atol=1e-6 * float(expected.abs().max()), rtol=1e-5)


def test_layer_that_saw_no_data_gets_zero() -> None:
    toy, rotations = Toy(), Rotations(3, 16)
    with torch.no_grad():
        rotations.skew.copy_(random_numbers(3, 2, dtype=torch.float32))
    rotations.refresh()
    rotations.attach(list(toy.layers))
    toy(torch.ones(2, 16), used=2).sum().backward()
    rotations.pull_gradients()
    assert rotations.skew.grad is not None
    assert (rotations.skew.grad[:2].abs().amax((1, 2)) > 0).all()
    assert torch.equal(rotations.skew.grad[2], torch.zeros(2, SKEW_NUMBERS))


def test_leaves_follow_the_parameters_only_after_refresh() -> None:
    rotations = Rotations(1, 8)
    with torch.no_grad():
        rotations.skew.fill_(0.1)
    assert torch.equal(rotations.leaves[0].detach(), torch.eye(8)[None])
    rotations.refresh()
    assert torch.allclose(rotations.leaves[0].detach(), rotation(torch.full((1, 28), 0.1)))
    assert rotations.leaves[0].requires_grad


def test_second_pull_adds_nothing() -> None:
    toy, rotations = Toy(layers=1), Rotations(1, 16)
    rotations.attach(list(toy.layers))
    toy(torch.ones(1, 16)).sum().backward()
    rotations.pull_gradients()
    assert rotations.skew.grad is not None
    once = rotations.skew.grad.clone()
    rotations.pull_gradients()
    assert torch.equal(rotations.skew.grad, once)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 6, 12])
def test_rotate_and_its_gradients_for_any_number_of_blocks(blocks: int) -> None:
    """Blocks are joined by four, two or one; what autograd is told is what a plain product gives."""
    generator = torch.Generator().manual_seed(blocks)
    x = torch.randn(2, 5, blocks * 8, generator=generator, dtype=torch.float64, requires_grad=True)
    r = rotation(torch.randn(blocks, 28, generator=generator, dtype=torch.float64)).requires_grad_()
    plain = torch.einsum("btki,kji->btkj", x.view(2, 5, blocks, 8), r).reshape(2, 5, -1)
    assert torch.allclose(rotate(x, r), plain, atol=1e-12)
    assert torch.autograd.gradcheck(rotate, (x, r))


def test_rotate_takes_a_view() -> None:
    x = torch.randn(16, 6).T
    r = rotation(torch.randn(2, 28))
    assert torch.allclose(rotate(x, r), rotate(x.contiguous(), r))
