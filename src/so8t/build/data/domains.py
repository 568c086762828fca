"""Train the domain model on written paragraphs and requests with their real labels (SPEC D3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from so8t.core.text import sentences
from so8t.core.types import Domain
from so8t.decide.domain import BUCKETS, DOMAINS, DomainModel, features

STEPS = 25
PENALTY = 2e-5
HELD_OUT = 8  # one in so many texts is kept for calibration


def train(texts: Sequence[tuple[str, Domain]]) -> tuple[DomainModel, dict[str, Any]]:
    """Softmax regression; temperature and figures come from the held-out eighth. Deterministic."""
    kept = [pair for i, pair in enumerate(texts) if i % HELD_OUT]
    held = [pair for i, pair in enumerate(texts) if not i % HELD_OUT]
    x, y = _matrix([(piece, d) for text, d in kept for piece in (text, *_pieces(text))])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for so small a matrix, and the same bits whatever the number of cores
    try:
        weight, bias = _fit(x, y)
    finally:
        torch.set_num_threads(threads)
    xh, yh = _matrix(held)
    logits = xh @ weight.T + bias
    temperature = _temperature(logits, yh)
    model = DomainModel(weight.numpy(), bias.numpy(), temperature, 0.25)
    judged = logits.argmax(-1)
    facts = {
        "texts": len(kept),
        "held_out": len(held),
        "accuracy": float((judged == yh).float().mean()),
        "macro_f1": _f1(judged, yh),
    }
    return model, facts


def _pieces(text: str) -> list[str]:
    """Two sentences at a time: requests are shorter than paragraphs."""
    parts = sentences(text)
    return ["".join(parts[i : i + 2]) for i in range(0, len(parts), 2)] if len(parts) > 2 else []


def _matrix(pairs: Sequence[tuple[str, Domain]]) -> tuple[Tensor, Tensor]:
    x = np.stack([features(text) for text, _ in pairs]) if pairs else np.zeros((0, BUCKETS), np.float32)
    return torch.from_numpy(x), torch.tensor([DOMAINS.index(d) for _, d in pairs], dtype=torch.long)


def _fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(len(DOMAINS), BUCKETS, requires_grad=True)
    bias = torch.zeros(len(DOMAINS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + PENALTY * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _temperature(logits: Tensor, y: Tensor) -> float:
    """Grid search of the negative log-likelihood (arXiv 1706.04599)."""
    if not len(y):
        return 1.0
    grid = np.geomspace(0.2, 5.0, 60)
    losses = [float(torch.nn.functional.cross_entropy(logits / t, y)) for t in grid]
    return float(grid[int(np.argmin(losses))])


def _f1(judged: Tensor, y: Tensor) -> float:
    scores = []
    for k in range(len(DOMAINS)):
        hit = int(((judged == k) & (y == k)).sum())
        scores.append(2 * hit / max(1, int((judged == k).sum()) + int((y == k).sum())))
    return float(np.mean(scores))
