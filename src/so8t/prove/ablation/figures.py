"""The figures that trainings are compared by: the plan's three (9.3) and those that say what became of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from so8t.core.errors import NotComparable
from so8t.prove.ablation.bleu import bleu
from so8t.prove.ablation.measured import Array, Measured
from so8t.prove.safety import FIGURES as SAFETY
from so8t.prove.safety import ratio

Value = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `of`: from summed documents of `unit`; without it the number of that name stands as it is.

    better: which way is better, "" = neither. relative: the difference is a share of the control's value. plan: the
    plan's target for PET on against off, in the difference treatment - control (9.3).
    """

    name: str
    unit: str
    of: Value | None
    better: Literal["lower", "higher", ""]
    relative: bool = False
    plan: float | None = None


def _mean(sums: Array) -> Array:
    return ratio(sums[..., 0], sums[..., 1])


def _perhaps(name: str) -> Value:
    return lambda sums: SAFETY[name](sums.reshape(*sums.shape[:-1], 3, 3))


FIGURES = (
    Figure("train_loss", "", None, "lower", relative=True, plan=-0.10),
    Figure("sigma", "", None, "lower", plan=-0.05),
    Figure("bleu", "texts", bleu, "higher", plan=5.0),
    Figure("validation_loss", "answers", _mean, "lower"),
    Figure("long_loss", "long", _mean, "lower"),
    Figure("accuracy", "decisions", _perhaps("accuracy"), "higher"),
    Figure("macro_f1", "decisions", _perhaps("macro_f1"), "higher"),
    Figure("roughness", "roughness", _mean, ""),
    Figure("angle", "", None, ""),
)
PLAN_FACTOR = "train.pet.enabled"  # the plan's targets are set for this one
# Settings that change what the training loss is made of, or how many tokens a step averages: no effect on learning.
REDEFINED = {
    "train.label_smoothing": ("train_loss", "sigma"), "train.label_weight": ("train_loss", "sigma"),
    "train.batch_size": ("sigma",), "train.accumulation": ("sigma",),
}  # fmt: skip


def value(figure: Figure, of: Measured) -> float | None:
    """The figure of one training; None where it was not measured or has no denominator."""
    if figure.of is None:
        return of.scalars.get(figure.name)
    unit = of.units.get(figure.unit)
    found = float(figure.of(unit.sums.sum(0))) if unit is not None else np.nan
    return found if np.isfinite(found) else None


def difference(figure: Figure, control: float, treatment: float) -> float | None:
    """treatment - control, as a share of the control where the figure is relative; None for a share of nothing."""
    if not figure.relative:
        return treatment - control
    return (treatment - control) / control if control else None


def resampled(
    figure: Figure, pairs: Sequence[tuple[Measured, Measured]], draws: int, seed: int
) -> tuple[float, float, int] | None:
    """(low, high, documents): 95 % of the mean difference when the documents are drawn anew, the same for all.

    None for a figure that is no sum over documents. Raises NotComparable where two measured different documents.
    """
    if figure.of is None:
        return None
    ids = pairs[0][0].units[figure.unit].ids
    if any(m.units[figure.unit].ids != ids for p in pairs for m in p):
        raise NotComparable(detail=f"{figure.name}: different documents")
    if len(ids) < 2:
        return None
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=draws).astype(np.float64)
    gaps = [_drawn(figure, weights, treatment) - _drawn(figure, weights, control) for control, treatment in pairs]
    means = np.mean(gaps, axis=0)
    means = means[np.isfinite(means)]
    if not len(means):
        return None
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high), len(ids)


def _drawn(figure: Figure, weights: Array, of: Measured) -> Array:
    """[draws] values of a figure over drawn documents."""
    assert figure.of is not None
    return figure.of(weights @ of.units[figure.unit].sums)
