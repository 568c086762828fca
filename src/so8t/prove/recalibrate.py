"""`so8t calibrate BUNDLE --data F`: temperatures from the user's labelled requests, before and after (SPEC P3).

The "after" figures are cross-fitted: every request is measured with a temperature that was fitted without it and
without its family, so that a small file cannot flatter itself. What is written is fitted on all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.bundle import Bundle
from so8t.core.errors import RecordInvalid
from so8t.core.files import read_json
from so8t.core.progress import Progress
from so8t.core.types import Sample
from so8t.decide.calibrate import (
    PLAN_GRID,
    Array,
    Calibration,
    brier,
    calibration_error,
    fit_pool,
    nll,
    plan_grid_temperature,
    pooled,
    softmax,
)
from so8t.judge.triple import PROMPT, load_triple, read_calibration
from so8t.prove.bundle_proof import quantisations
from so8t.prove.measure import SLOTS
from so8t.prove.remember import Remembering
from so8t.prove.safety import labels_of
from so8t.prove.suite import calibrate, label, model_parts

LEAST = 10  # requests; fewer fit a temperature to chance
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Recalibration:
    """New temperatures of one quantisation, and the report of what they change."""

    calibration: Calibration
    report: dict[str, Any]


def recalibrate(
    bundle: Bundle, samples: Sequence[Sample], threads: int, progress: Progress
) -> dict[str, Recalibration]:
    """Every quantisation of a bundle. Raises RecordInvalid for fewer than LEAST requests, BackendDown."""
    if len(samples) < LEAST:
        raise RecordInvalid(where=samples[0].source if samples else "", detail=f"{len(samples)} requests < {LEAST}")
    context, names = int(read_json(bundle.folder / PROMPT)["context"]), quantisations(bundle)
    found = {}
    with progress.task("calibrating", 2 * len(samples) * len(names), "request") as task:
        for name in names:
            with serve(bundle.gguf(name), context, slots=SLOTS, threads=threads) as address:
                found[name] = asyncio.run(_one(bundle, name, LlamaCpp(address), samples, task.advance))
    return found


async def _one(bundle: Bundle, name: str, server: LlamaCpp, samples: Sequence[Sample], advance: Any) -> Recalibration:
    try:
        judge = load_triple(bundle.folder, Remembering(server), Calibration())
        parts = await model_parts(judge, samples, advance)
        fitted = await calibrate(judge, samples, advance)
    finally:
        await server.close()
    labels = labels_of([label(s) for s in samples])
    served = read_calibration(bundle.folder, name)
    return Recalibration(fitted, report(parts, labels, [s.family for s in samples], served, fitted))


def report(
    parts: Array, labels: NDArray[np.int64], families: Sequence[str], served: Calibration, fitted: Calibration
) -> dict[str, Any]:
    """Before = the temperature the bundle serves with; after = cross-fitted; the plan's grid beside.

    parts [n, k, 3] uncalibrated (judge/model.py), labels [n]. `folds` 0 = one family only: after is measured on
    what it was fitted on.
    """
    spread, folds = cross_fitted(parts, labels, families)
    raw = pooled(parts, np.ones(parts.shape[1]))
    return {
        "n": len(labels),
        "folds": folds,
        "temperature": {"before": served.temperature, "after": fitted.temperature},
        "wording_temperature": {"before": served.wording_temperature, "after": fitted.wording_temperature},
        "fusion_temperature": {"before": served.fusion_temperature, "after": fitted.fusion_temperature},
        "allow": {"before": asdict(served.allow), "after": asdict(fitted.allow)},
        "raw": errors(softmax(raw), labels),
        "before": errors(softmax(pooled(parts, served.pool[: parts.shape[1]])), labels),
        "after": errors(softmax(pooled(parts, spread)), labels),
        "plan_grid": {
            "temperature": plan_grid_temperature(raw, labels),
            "ece": [[float(t), calibration_error(softmax(raw, float(t)), labels)] for t in PLAN_GRID],
        },
    }


def errors(probabilities: Array, labels: NDArray[np.int64]) -> dict[str, float]:
    return {
        "ece": calibration_error(probabilities, labels),
        "ece_equal_mass": calibration_error(probabilities, labels, equal_mass=True),
        "nll": nll(probabilities, labels),
        "brier": brier(probabilities, labels),
    }


def cross_fitted(parts: Array, labels: NDArray[np.int64], families: Sequence[str]) -> tuple[Array, int]:
    """[n, k] for every request the temperatures fitted without its family; and how many folds that took."""
    names = sorted(set(families))
    folds = min(FOLDS, len(names))
    if folds < 2:
        return np.tile(fit_pool(parts, labels), (len(labels), 1)), 0
    order = np.random.default_rng(8).permutation(len(names))
    fold_of = {names[n]: int(place) % folds for place, n in enumerate(order)}
    fold = np.array([fold_of[f] for f in families])
    temperatures = np.array([fit_pool(parts[fold != k], labels[fold != k]) for k in range(folds)])
    return temperatures[fold], folds
