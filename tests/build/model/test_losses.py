"""The loss: right shift, label smoothing by formula, chunks that change nothing, silent prompt tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from so8t.build.model import shape
from so8t.build.model.losses import IGNORE, shift, smoothed_cross_entropy

VOCABULARY, FEATURES = 11, 6


@pytest.fixture
def head() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(FEATURES, VOCABULARY, bias=False)


def states(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, FEATURES, generator=generator), torch.randint(0, VOCABULARY, (n,), generator=generator)


def one_hot_model(predicted: Tensor) -> tuple[Tensor, nn.Linear]:
    """Hidden states whose logits, through an identity head, are all on `predicted`."""
    head = nn.Linear(VOCABULARY, VOCABULARY, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(VOCABULARY))
    return F.one_hot(predicted, VOCABULARY).float() * 30, head


def test_perfect_predictor_scores_below_copier() -> None:
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3]])
    following = torch.cat([ids[:, 1:], ids[:, :1]], 1)
    scores = {}
    for name, predicted in (("predictor", following), ("copier", ids)):
        hidden, head = one_hot_model(predicted)
        kept, target = shift(hidden, ids)
        scores[name] = float(smoothed_cross_entropy(kept, target, head, 0.0).detach()) / target.numel()
    assert scores["predictor"] < 1e-6
    assert scores["copier"] > 20


def test_shift_keeps_the_states_before_the_labels() -> None:
    labels = torch.tensor([[IGNORE, IGNORE, 7, 8, IGNORE], [1, 2, IGNORE, IGNORE, IGNORE]])
    hidden = torch.arange(10.0).reshape(2, 5, 1)
    kept, target = shift(hidden, labels)
    assert target.tolist() == [7, 8, 2]
    assert kept.flatten().tolist() == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_is_the_formula_and_torch(head: nn.Linear, smoothing: float) -> None:
    hidden, labels = states(13)
    ours = smoothed_cross_entropy(hidden, labels, head, smoothing)
    nll = -F.log_softmax(head(hidden), -1)
    formula = ((1 - smoothing) * nll[range(13), labels] + smoothing * nll.mean(-1)).sum()
    assert torch.allclose(ours, formula, rtol=1e-6)
    theirs = F.cross_entropy(head(hidden), labels, label_smoothing=smoothing, reduction="sum")
    assert torch.allclose(ours, theirs, rtol=1e-6)
    assert ours.dtype == torch.float32


def gradients(
    loss: Callable[[Tensor, nn.Linear], Tensor], hidden: Tensor, head: nn.Linear
) -> tuple[Tensor, Tensor, Tensor]:
    leaf = hidden.clone().requires_grad_()
    head.weight.grad = None
    value = loss(leaf, head)
    value.backward()
    assert leaf.grad is not None and head.weight.grad is not None
    return value.detach(), leaf.grad, head.weight.grad.clone()


@pytest.mark.parametrize("chunk", [16, 17, 40, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_change_nothing(head: nn.Linear, monkeypatch: pytest.MonkeyPatch, chunk: int, weighted: bool) -> None:
    hidden, labels = states(50)
    weights = torch.linspace(0, 2, 50) if weighted else None
    monkeypatch.setattr(shape, "CHUNK_LOGITS", chunk * VOCABULARY)
    assert shape.chunk_tokens(VOCABULARY) == chunk
    ours = gradients(lambda h, m: smoothed_cross_entropy(h, labels, m, 0.1, weights), hidden, head)

    def whole(h: Tensor, m: nn.Linear) -> Tensor:
        each = F.cross_entropy(m(h), labels, label_smoothing=0.1, reduction="none")
        return (each * (1.0 if weights is None else weights)).sum()

    for a, b in zip(ours, gradients(whole, hidden, head), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_logits_of_one_chunk_only_are_alive(head: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of tokens x vocabulary is kept for the backward pass."""
    monkeypatch.setattr(shape, "CHUNK_LOGITS", 16 * VOCABULARY)
    hidden, labels = states(64)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        smoothed_cross_entropy(hidden.requires_grad_(), labels, head, 0.1)
    assert saved == [64 * FEATURES, VOCABULARY * FEATURES]  # the two gradients, the head being trained
    assert sum(saved) < 64 * VOCABULARY


def test_weights_scale_each_token(head: nn.Linear) -> None:
    hidden, labels = states(4)
    each = F.cross_entropy(head(hidden), labels, reduction="none")
    weights = torch.tensor([8.0, 1.0, 0.0, 0.5])
    assert torch.allclose(smoothed_cross_entropy(hidden, labels, head, 0.0, weights), (each * weights).sum())


def test_without_gradient_the_value_is_the_same(head: nn.Linear) -> None:
    hidden, labels = states(9)
    with torch.no_grad():
        value = smoothed_cross_entropy(hidden, labels, head, 0.1)
    assert torch.equal(value, smoothed_cross_entropy(hidden, labels, head, 0.1).detach())


def test_prompt_tokens_get_zero_gradient(head: nn.Linear) -> None:
    """Positions whose next token is masked do not move, whatever stands in the masked labels."""
    hidden = states(2 * 7)[0].reshape(2, 7, FEATURES).requires_grad_()
    labels = torch.tensor([[IGNORE] * 4 + [1, 2, 3], [IGNORE] * 6 + [5]])
    kept, target = shift(hidden, labels)
    smoothed_cross_entropy(kept, target, head, 0.1).backward()
    assert hidden.grad is not None
    moved = hidden.grad.abs().sum(-1) > 0
    # The state at t learns from label t + 1: the last prompt token counts, the last token of all does not.
    assert moved.tolist() == [[False] * 3 + [True] * 3 + [False], [False] * 5 + [True, False]]


def test_bf16_states_give_an_fp32_loss(head: nn.Linear) -> None:
    hidden, labels = states(5)
    loss = smoothed_cross_entropy(hidden.bfloat16(), labels, head.bfloat16(), 0.1)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("softcap", [0.0, 2.0, 30.0])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_against_fp64_autograd(softcap: float, bias: bool) -> None:
    """Soft caps (Gemma 2), biases, weights and smoothing at once, down to the last parameter."""
    torch.manual_seed(2)
    head = nn.Linear(FEATURES, VOCABULARY, bias=bias)
    hidden, labels = states(23)
    weights = torch.linspace(0.5, 3, 23)
    leaf = (hidden * 4).requires_grad_()
    (3 * smoothed_cross_entropy(leaf, labels, head, 0.1, weights, softcap)).backward()
    exact = copy.deepcopy(head).double()
    exact.zero_grad()
    other = leaf.detach().double().requires_grad_()
    logits = exact(other)
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    each = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    (3 * (each * weights).sum()).backward()
    for ours, theirs in ((leaf, other), *zip(head.parameters(), exact.parameters(), strict=True)):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() / theirs.grad.norm() < 1e-6


def test_huge_logits_stay_finite() -> None:
    hidden, head = one_hot_model(torch.tensor([1, 2, 3]))
    leaf = (hidden * 1e4).requires_grad_()
    loss = smoothed_cross_entropy(leaf, torch.tensor([1, 2, 4]), head, 0.1)
    loss.backward()
    assert torch.isfinite(loss) and leaf.grad is not None and torch.isfinite(leaf.grad).all()


def test_a_frozen_head_gets_no_gradient(head: nn.Linear) -> None:
    head.requires_grad_(False)
    hidden, labels = states(9)
    leaf = hidden.requires_grad_()
    smoothed_cross_entropy(leaf, labels, head, 0.1).backward()
    assert head.weight.grad is None and leaf.grad is not None and bool(leaf.grad.abs().sum() > 0)
