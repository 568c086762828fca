"""Fit the linear models of decide/linear.py: softmax regression by L-BFGS, deterministic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from so8t.decide.codes import encode_folded
from so8t.decide.linear import BUCKETS, LONGEST, Floats, features, grams

STEPS = 40
PASSES = STEPS * 5 // 4  # over the texts of a fit, at most: what torch's L-BFGS allows itself
PENALTY = 3e-5
Told = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Fit:
    """weight [classes, BUCKETS], bias [classes]."""

    weight: Floats
    bias: Floats


def untold() -> None:
    """For who does not follow a fit."""


def fit(texts: Sequence[str], labels: Sequence[int], classes: int, told: Told = untold) -> Fit:
    """`labels` 0 .. classes - 1, one a text. `told` after each pass, PASSES at most."""
    weight, bias = minimise(design(texts), torch.tensor(list(labels), dtype=torch.long), classes, told=told)
    return Fit(weight.numpy(), bias.numpy())


def design(texts: Sequence[str]) -> Tensor:
    """[texts, BUCKETS], sparse."""
    rows, buckets, values = features(grams(encode_folded([t.replace("\0", "") for t in texts]), LONGEST))
    places = torch.from_numpy(np.stack([rows, buckets]))
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(values), (len(texts), BUCKETS), check_invariants=True, is_coalesced=True
    )


def minimise(
    x: Tensor, y: Tensor, classes: int, *, penalty: float = PENALTY, steps: int = STEPS, told: Told = untold
) -> tuple[Tensor, Tensor]:
    """Least cross entropy + penalty x |weight|². x [texts, features] sparse -> weight [classes, features], bias."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for so small a matrix, and the same bits whatever the number of cores
    try:
        return _minimise(x, y, classes, penalty, steps, told)
    finally:
        torch.set_num_threads(threads)


def _minimise(x: Tensor, y: Tensor, classes: int, penalty: float, steps: int, told: Told) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(x.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.sparse.mm(x, weight) + bias, y) + penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        told()
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach().T.contiguous(), bias.detach()


def temperature(logits: Tensor, y: Tensor) -> float:
    """Grid search of the negative log-likelihood (arXiv 1706.04599); 1 without held-out texts."""
    if not len(y):
        return 1.0
    grid = np.geomspace(0.2, 5.0, 60)
    losses = [float(torch.nn.functional.cross_entropy(logits / t, y)) for t in grid]
    return float(grid[int(np.argmin(losses))])


def macro_f1(judged: Tensor, y: Tensor, classes: int) -> float:
    scores = []
    for k in range(classes):
        hit = int(((judged == k) & (y == k)).sum())
        scores.append(2 * hit / max(1, int((judged == k).sum()) + int((y == k).sum())))
    return float(np.mean(scores))
