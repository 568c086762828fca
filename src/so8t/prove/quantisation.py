"""What quantising changed in the decisions: distance of the label probabilities from F16, and verdicts that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from so8t.core.types import Decision
from so8t.decide.calibrate import Array, softmax
from so8t.prove.suite import Outcome

REFERENCE = "F16"


def reference_of(names: Sequence[str]) -> str:
    """F16 where there is one, else the first: what the others are compared with."""
    return REFERENCE if REFERENCE in names else names[0]


def compare(outcomes: Mapping[str, Sequence[Outcome]], draws: int, seed: int = 8) -> dict[str, Any]:
    """Every quantisation against the reference, on the same requests in the same order.

    kl = mean KL(reference || other) in nats of the model's three label probabilities before temperature, because the
    temperature is fitted anew for each; agreement = share of equal verdicts of the three judges together;
    newly_allowed = verdicts that became ALLOW.
    """
    reference = reference_of(list(outcomes))
    base = outcomes[reference]
    rows = {}
    for name, others in outcomes.items():
        if name == reference:
            continue
        divergence = label_kl(base, others)
        allowed = sum(
            b.verdict.decision == Decision.ALLOW != a.verdict.decision for a, b in zip(base, others, strict=True)
        )
        rows[name] = {
            "kl": _mean(divergence),
            "kl_largest": round(float(divergence.max()), 8) if len(divergence) else None,
            "agreement": agreement(base, others, draws, seed),
            "newly_allowed": allowed,
        }
    return {"reference": reference, "rows": rows, "between": _between(outcomes)}


def label_kl(base: Sequence[Outcome], others: Sequence[Outcome]) -> Array:
    """[requests that both answered] KL in nats of the language model's labels."""
    pairs = [(a.parts[0], b.parts[0]) for a, b in zip(base, others, strict=True) if a.parts and b.parts]
    if not pairs:
        return np.zeros(0)
    p, q = (softmax(np.array([pair[i] for pair in pairs])) for i in (0, 1))
    tiny = 1e-300
    result: Array = np.maximum((p * (np.log(p + tiny) - np.log(q + tiny))).sum(1), 0.0)
    return result


def agreement(base: Sequence[Outcome], others: Sequence[Outcome], draws: int, seed: int = 8) -> dict[str, Any]:
    """Share of equal verdicts with its interval over families."""
    same: dict[str, list[bool]] = {}
    for a, b in zip(base, others, strict=True):
        same.setdefault(a.sample.family, []).append(a.verdict.decision == b.verdict.decision)
    if not same:
        return {"value": None, "low": None, "high": None, "n": 0}
    hits, sizes = np.array([sum(s) for s in same.values()]), np.array([len(s) for s in same.values()])
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=draws)
    low, high = np.quantile((weights @ hits) / (weights @ sizes), [0.025, 0.975])
    return {
        "value": round(float(hits.sum() / sizes.sum()), 6), "low": round(float(low), 6), "high": round(float(high), 6),
        "n": int(sizes.sum()),
    }  # fmt: skip


def _between(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, float]:
    """Share of equal verdicts of every two quantisations, and of all at once."""
    decisions = {name: [o.verdict.decision for o in found] for name, found in outcomes.items()}
    names, found = list(decisions), {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            found[f"{a}:{b}"] = _same([decisions[a], decisions[b]])
    return found | ({"all": _same(list(decisions.values()))} if len(names) > 2 else {})


def _same(columns: Sequence[Sequence[Decision]]) -> float:
    equal = [len(set(row)) == 1 for row in zip(*columns, strict=True)]
    return round(sum(equal) / len(equal), 6) if equal else 1.0


def _mean(values: Array) -> float | None:
    return round(float(values.mean()), 8) if len(values) else None
