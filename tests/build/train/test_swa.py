"""Averaging weights: the plain mean, put in and taken out again, in the group for skew numbers only."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from so8t.build.model.rotation import determinant_error, orthogonality_error, rotation
from so8t.build.train.swa import Average, copy_into


def test_mean_is_the_plain_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(5, 7, generator=generator) for _ in range(11)]
    average, parameter = Average(), nn.Parameter(torch.zeros(5, 7))
    for value in values:
        with torch.no_grad():
            parameter.copy_(value)
        average.update({"p": parameter})
    assert average.count == 11
    assert torch.allclose(average.mean["p"], torch.stack(values).mean(0), atol=1e-6)


def test_mean_of_low_precision_is_kept_in_fp32() -> None:
    average, parameter = Average(), nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    for value in (1.0, 1.0078125):
        with torch.no_grad():
            parameter.fill_(value)
        average.update({"p": parameter})
    assert average.mean["p"].dtype == torch.float32
    assert torch.equal(average.mean["p"], torch.full((3,), 1.00390625))


def test_first_value_is_a_copy() -> None:
    average, parameter = Average(), nn.Parameter(torch.zeros(3))
    average.update({"p": parameter})
    with torch.no_grad():
        parameter.fill_(9)
    assert torch.equal(average.mean["p"], torch.zeros(3))


def test_applied_puts_back_what_was_there_even_after_an_error() -> None:
    average, parameter = Average(), nn.Parameter(torch.ones(3))
    average.update({"p": parameter})
    with torch.no_grad():
        parameter.fill_(5)
    with pytest.raises(RuntimeError), average.applied({"p": parameter}):
        assert torch.equal(parameter.detach(), torch.ones(3))
        raise RuntimeError
    assert torch.equal(parameter.detach(), torch.full((3,), 5.0))


def test_averaged_skew_stays_in_so8_and_averaged_rotations_do_not() -> None:
    generator = torch.Generator().manual_seed(1)
    steps = [torch.randn(6, 28, generator=generator, dtype=torch.float64) * 0.1 for _ in range(8)]
    average, parameter = Average(), nn.Parameter(torch.zeros(6, 28))
    for value in steps:
        copy_into({"p": parameter}, {"p": value})
        average.update({"p": parameter})
    r = rotation(average.mean["p"].double())
    assert orthogonality_error(r) < 1e-10
    assert determinant_error(r) < 1e-10
    assert orthogonality_error(torch.stack([rotation(s) for s in steps]).mean(0)) > 8e-3  # SPEC "PET and noise"
