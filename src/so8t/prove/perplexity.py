"""Perplexity of every quantisation on our own held-out Japanese text, and how far it moved from F16 (plan 5.4).

The texts are of the validation split: training never saw them. Intervals are bootstrapped over texts, in pairs: the
same texts are drawn for both models, because a hard text is hard for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from so8t.ask.backend import Backend
from so8t.core.files import read_jsonl
from so8t.core.types import Sample, Split
from so8t.decide.calibrate import Array
from so8t.prove.likelihood import Likelihood

LONGEST = 1024  # tokens of one text
MAXIMUM_TEXTS = 10_000


def held_out_texts(folder: Path) -> list[str]:
    """The plain texts of the validation split of a run."""
    path = folder / f"{Split.VALIDATION}.jsonl"
    if not path.is_file():
        return []
    samples = (Sample.from_json(record, f"{path}:{number}") for number, record in read_jsonl(path))
    return [s.text for s in samples if s.kind == "text"][:MAXIMUM_TEXTS]


async def tokens_of(backend: Backend, texts: Sequence[str], budget: int, context: int) -> list[list[int]]:
    """Token ids text by text, until `budget` tokens are together; no text is longer than the context takes."""
    longest, found, left = min(LONGEST, context - 1), [], budget
    for text in texts:
        if left < 2:
            break
        ids = (await backend.tokenize(text))[: min(longest, left)]
        if len(ids) > 1:
            found.append(ids)
            left -= len(ids)
    return found


def perplexity(measured: Likelihood) -> float | None:
    """exp of the mean negative log-likelihood a token; None without tokens."""
    count = sum(measured.tokens)
    return float(np.exp(sum(measured.nll) / count)) if count else None


def change(measured: Likelihood, reference: Likelihood, draws: int, seed: int = 8) -> dict[str, Any] | None:
    """Perplexity relative to the reference, minus one: {value, low, high, n = texts}; None without texts."""
    count = len(measured.nll)
    if not count or not sum(measured.tokens):
        return None
    gaps = np.array(measured.nll) - np.array(reference.nll)
    lengths = np.array(measured.tokens, np.float64)
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    drawn: Array = np.expm1((weights @ gaps) / np.maximum(weights @ lengths, 1.0))
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(np.expm1(gaps.sum() / lengths.sum()))
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6), "n": count}
