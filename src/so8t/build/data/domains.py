"""Train the domain model on written paragraphs and requests with their real labels (SPEC D3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from so8t.build.data.softmax_regression import PASSES, Fit, Told, design, fit, macro_f1, temperature, untold
from so8t.core.text import sentences
from so8t.core.types import Domain
from so8t.decide.domain import DOMAINS, DomainModel

MOST_PASSES = 2 * PASSES  # the fit without the held-out texts, and that of all
HELD_OUT = 8  # one in so many texts is kept for calibration
MINIMUM_CONFIDENCE = 0.25


def train(texts: Sequence[tuple[str, Domain]], told: Told = untold) -> tuple[DomainModel, dict[str, Any]]:
    """Softmax regression. Temperature and figures are those of a model that has not seen the held-out eighth; the
    weights are then fitted once more on everything. Deterministic. `told` after each pass, MOST_PASSES at most."""
    kept = [pair for i, pair in enumerate(texts) if i % HELD_OUT]
    held = [pair for i, pair in enumerate(texts) if not i % HELD_OUT]
    tried, whole = _fit(kept, told), _fit(texts, told)
    xh, yh = design([text for text, _ in held]), torch.tensor(_labels(held), dtype=torch.long)
    logits = torch.sparse.mm(xh, torch.from_numpy(tried.weight).T) + torch.from_numpy(tried.bias)
    model = DomainModel(whole.weight, whole.bias, temperature(logits, yh), MINIMUM_CONFIDENCE)
    judged = logits.argmax(-1)
    facts = {
        "texts": len(texts),
        "held_out": len(held),
        "accuracy": float((judged == yh).float().mean()),
        "macro_f1": macro_f1(judged, yh, len(DOMAINS)),
    }
    return model, facts


def _fit(texts: Sequence[tuple[str, Domain]], told: Told) -> Fit:
    pieces = [(piece, domain) for text, domain in texts for piece in (text, *_pieces(text))]
    return fit([text for text, _ in pieces], _labels(pieces), len(DOMAINS), told)


def _labels(pairs: Sequence[tuple[str, Domain]]) -> list[int]:
    return [DOMAINS.index(domain) for _, domain in pairs]


def _pieces(text: str) -> list[str]:
    """Two sentences at a time: requests are shorter than paragraphs."""
    parts = sentences(text)
    return ["".join(parts[i : i + 2]) for i in range(0, len(parts), 2)] if len(parts) > 2 else []
