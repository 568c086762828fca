"""Does an idea help? Paired differences over seeds, each with its interval and a verdict that may be "no effect shown".

An effect is claimed when, over three seeds or more, p after Holm's correction is below 0.05, and the interval over
documents, where the figure has one, does not contain zero either. Everything else is "none" or "undecided".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from so8t.prove.ablation.differences import LEVEL, Estimate, holm, paired
from so8t.prove.ablation.figures import FIGURES, PLAN_FACTOR, REDEFINED, Figure, difference, resampled, value
from so8t.prove.ablation.measured import Measured
from so8t.prove.ablation.pairs import Pair, Pairing

MINIMUM_SEEDS = 3  # SPEC P5
BOOTSTRAP_SEED = 8


def compare(pairing: Pairing, found: Mapping[str, Measured], draws: int) -> dict[str, Any]:
    """The whole result as JSON. `found`: every training of the pairing by name.

    Raises NotComparable where two trainings were measured on different documents.
    """
    figures = {level: _rows(pairing.factor, pairs, found, draws) for level, pairs in pairing.pairs.items()}
    rows = [row for part in figures.values() for row in part]
    family = _correct(rows)
    for row in rows:
        _judge(row)
    parts = [
        {"level": level, "seeds": [p.seed for p in pairs], "figures": figures[level]}
        for level, pairs in pairing.pairs.items()
    ]
    return {
        "factor": pairing.factor, "control": pairing.control, "comparisons": parts, "alone": list(pairing.alone),
        "method": {
            "level": LEVEL, "test": "paired t", "correction": "Holm", "family": family, "minimum_seeds": MINIMUM_SEEDS,
            "bootstrap": draws,
        },
        "runs": [run_row(name, m) for name, m in found.items()],
    }  # fmt: skip


def run_row(name: str, of: Measured) -> dict[str, Any]:
    """The figures of one training."""
    values = {figure.name: value(figure, of) for figure in FIGURES}
    return {"name": name, "values": values, "positions": [list(p) for p in of.positions], "facts": dict(of.facts)}


def _rows(factor: str, pairs: Sequence[Pair], found: Mapping[str, Measured], draws: int) -> list[dict[str, Any]]:
    return [_row(figure, factor, pairs, found, draws) for figure in FIGURES]


def _row(
    figure: Figure, factor: str, pairs: Sequence[Pair], found: Mapping[str, Measured], draws: int
) -> dict[str, Any]:
    both = [(found[p.control], found[p.treatment]) for p in pairs]
    values = [(value(figure, c), value(figure, t)) for c, t in both]
    gaps = [None if c is None or t is None else difference(figure, c, t) for c, t in values]
    row: dict[str, Any] = {
        "name": figure.name, "better": figure.better, "relative": figure.relative, "p_holm": None,
        "plan": figure.plan if factor == PLAN_FACTOR else None,
    }  # fmt: skip
    if figure.name in REDEFINED.get(factor, ()):
        return row | {"verdict": "unmeasured", "why": "redefined"}
    whole = [g for g in gaps if g is not None]
    if len(whole) < len(gaps):
        return row | {"verdict": "unmeasured", "why": "missing"}
    estimate = paired(whole)
    return row | {
        "control": sum(c for c, _ in values if c is not None) / len(values),
        "treatment": sum(t for _, t in values if t is not None) / len(values),
        "differences": whole, "drawn": figure.of is not None, **_interval(estimate),
        "documents": _documents(figure, both, draws),
    }  # fmt: skip


def _interval(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "p": estimate.p, "n": estimate.n}


def _documents(figure: Figure, both: Sequence[tuple[Measured, Measured]], draws: int) -> dict[str, Any] | None:
    drawn = resampled(figure, both, draws, BOOTSTRAP_SEED)
    return None if drawn is None else {"low": drawn[0], "high": drawn[1], "n": drawn[2]}


def _correct(rows: Sequence[dict[str, Any]]) -> int:
    """Put p after Holm's correction into every row that can be judged; returns how many there are."""
    judged = [row for row in rows if row.get("p") is not None and row["n"] >= MINIMUM_SEEDS]
    for row, adjusted in zip(judged, holm([row["p"] for row in judged]), strict=True):
        row["p_holm"] = adjusted
    return len(judged)


def _judge(row: dict[str, Any]) -> None:
    """effect, none, undecided (too few seeds, or no spread among them) or unmeasured; and whether it is good."""
    if "verdict" in row:
        return
    if row["p_holm"] is None:
        row["verdict"], row["why"] = "undecided", "seeds" if row["n"] < MINIMUM_SEEDS else "spread"
        return
    sure = row["p_holm"] < LEVEL
    documents = row["documents"] or {"low": 0.0, "high": 0.0}  # too few documents to draw from prove nothing
    if row["drawn"] and documents["low"] <= 0 <= documents["high"]:
        row["why"], sure = ("documents" if sure else ""), False
    row["verdict"] = "effect" if sure else "none"
    if sure and row["better"]:
        row["good"] = (row["mean"] < 0) == (row["better"] == "lower")
    if row["plan"] is not None:
        reached = row["mean"] <= row["plan"] if row["better"] == "lower" else row["mean"] >= row["plan"]
        row["reached"] = sure and reached
