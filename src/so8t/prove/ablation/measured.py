"""What was measured of one training: sums a document, so that documents can be drawn anew, and a few single numbers.

The file is written by build (which has torch) and read here. Every list in it is checked: a figure is never made of a
file that is only nearly right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import RecordInvalid
from so8t.core.files import read_jsonl
from so8t.prove.ablation.bleu import COUNTS, bleu_counts

Array = NDArray[np.float64]
TAIL = 0.25  # of the optimizer steps, the last ones: what "the loss" of a training is taken over
# Numbers a document by unit: (sum, count), or the nine cells of a confusion matrix.
WIDTHS = {"answers": 2, "long": 2, "roughness": 2, "decisions": 9}


@dataclass(frozen=True, slots=True)
class Unit:
    """Sums [documents, numbers] of the documents named `ids`; requests of one family are one document."""

    ids: tuple[str, ...]
    sums: Array


@dataclass(frozen=True, slots=True)
class Measured:
    """One training. `positions`: (first position, last + 1, mean cross entropy) of the long windows."""

    units: Mapping[str, Unit]
    scalars: Mapping[str, float | None]
    positions: tuple[tuple[int, int, float], ...]
    facts: Mapping[str, Any]


def measured(record: Mapping[str, Any], history: Path, where: str) -> Measured:
    """From what build measured and the history of the training. Raises RecordInvalid for anything missing or odd."""
    try:
        units = {name: _unit(unit, WIDTHS[name]) for name, unit in record["units"].items()}
        if record["texts"]:
            units["texts"] = _texts(record["texts"])
        scalars = {"angle": None if record["angle"] is None else _finite(record["angle"])}
        positions = tuple((int(a), int(b), _finite(total) / int(n)) for a, b, total, n in record["positions"])
        facts = dict(record["facts"])
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise RecordInvalid(where=where, detail=f"{type(error).__name__}: {error}") from error
    return Measured(units, scalars | tail(history), positions, facts)


def _unit(record: Mapping[str, Any], width: int) -> Unit:
    ids, sums = tuple(map(str, record["ids"])), np.array(record["sums"], dtype=np.float64)
    if sums.shape != (len(ids), width) or len(set(ids)) < len(ids) or not ids:
        raise ValueError(f"sums {sums.shape}")
    if not np.isfinite(sums).all():
        raise ValueError("not finite")
    return Unit(ids, sums)


def _texts(records: Sequence[Mapping[str, Any]]) -> Unit:
    sums = np.array([bleu_counts(str(r["made"]), str(r["reference"])) for r in records], dtype=np.float64)
    return Unit(tuple(str(r["id"]) for r in records), sums.reshape(len(records), COUNTS))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value}")
    return number


def tail(history: Path) -> dict[str, float | None]:
    """Mean and standard deviation of the task loss over the last quarter of the steps (plan 9.3 names no window)."""
    losses = []
    for number, record in read_jsonl(history):
        loss = record.get("loss")
        if isinstance(loss, bool) or not isinstance(loss, int | float) or not math.isfinite(loss):
            raise RecordInvalid(where=f"{history}:{number}", detail="loss")
        losses.append(float(loss))
    last = losses[-max(1, math.ceil(TAIL * len(losses))) :]
    return {"train_loss": fmean(last) if last else None, "sigma": stdev(last) if len(last) > 1 else None}
