"""Figures taken slice by slice are those of whole logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.burnin.comparison import Comparison


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 50), st.integers(1, 50), st.floats(1e-6, 30))
def test_slices_make_no_difference(seed: int, positions: int, vocabulary: int, step: int, apart: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = 10 * torch.randn(positions, vocabulary, dtype=torch.float64, generator=generator)
    b = a + apart * torch.randn(positions, vocabulary, dtype=torch.float64, generator=generator)
    comparison = Comparison(positions)
    for start in range(0, vocabulary, step):
        comparison.add(a[:, start : start + step], b[:, start : start + step])
    found, pa, pb = comparison.result(), a.log_softmax(-1), b.log_softmax(-1)
    assert found.logit == float((a - b).abs().max())
    assert found.kl == pytest.approx(float((pa.exp() * (pa - pb)).sum(-1).max()), rel=1e-9, abs=1e-11)
    assert found.rms == pytest.approx(float((a - b).square().mean().sqrt()), rel=1e-12)
    assert found.agreement == float((a.argmax(-1) == b.argmax(-1)).double().mean())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_spoiled_number_spoils_the_figures(bad: float, place: int) -> None:
    a, b = torch.zeros(2, 4), torch.zeros(2, 4)
    b[1, place] = bad
    comparison = Comparison(2)
    comparison.add(a[:, :2], b[:, :2])
    comparison.add(a[:, 2:], b[:, 2:])
    found = comparison.result()
    assert not found.logit < 1e9 and not found.kl < 1e9 and not found.rms < 1e9


def test_equal_logits_take_the_first_token_whatever_the_slices() -> None:
    comparison = Comparison(1)
    for _ in range(3):
        comparison.add(torch.ones(1, 2), torch.ones(1, 2))
    assert comparison.result().agreement == 1.0
    assert comparison.result().logit == comparison.result().rms == 0.0
