"""What precedents say alone and beside the wording model, by their constants; what the wording model says alone.

    python benchmarks/precedents.py            a line a setting, the best likelihood together last
    python benchmarks/precedents.py --wording  the wording model's own constants instead

The written training passes in six folds, whole passes at a time: each request is judged by models and cases of the
other passes. Neither calibration nor test is read.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so8t.build.data import wording
from so8t.build.data.wording import fit_wording, gap
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.types import DECISIONS, Levels, Sample, Split
from so8t.decide.calibrate import Array, fit_temperature, nll, softmax
from so8t.decide.views import clearest
from so8t.judge.precedent import NEAREST, NEIGHBOURS, Case, PrecedentStore
from so8t.prove.safety import FIGURES, Judged, confusion
from so8t.prove.suite import label

FOLDS = 6
LEVELS = Levels()
Near = NDArray[np.float64]  # [n, NEIGHBOURS, 2]: similarity and decision of the nearest cases


def folds(samples: Sequence[Sample]) -> list[tuple[list[int], list[Sample]]]:
    """(numbers held out, the others) of each fold."""
    passes = sorted({s.source for s in samples})
    order = np.random.default_rng(0).permutation(len(passes))
    fold = {passes[place]: n % FOLDS for n, place in enumerate(order)}
    return [
        (
            [n for n, s in enumerate(samples) if fold[s.source] == k],
            [s for s in samples if fold[s.source] != k],
        )
        for k in range(FOLDS)
    ]  # fmt: skip


def wording_scores(samples: Sequence[Sample]) -> Array:
    """[n, 3] of models that have not seen the request's pass."""
    found = np.zeros((len(samples), len(DECISIONS)))
    for held, others in folds(samples):
        model = fit_wording(others, LEVELS)
        for n in held:
            found[n] = model.scores(samples[n].text, gap(samples[n], LEVELS))
    return found


def nearest(samples: Sequence[Sample]) -> Near:
    found = np.zeros((len(samples), NEIGHBOURS, 2))
    for held, others in folds(samples):
        store = PrecedentStore([Case(s.id, s.text, label(s), s.source) for s in others])
        for n in held:
            for place, (case, similarity) in enumerate(store.nearest(clearest(samples[n].text).text)):
                found[n, place] = similarity, case.decision.severity
    return found


def votes(near: Near, one_vote: float, sharpness: float, prior: float) -> Array:
    """[n, 3] log-probabilities, as judge/precedent.py counts them."""
    counted = np.full((len(near), len(DECISIONS)), prior)
    for place in range(NEIGHBOURS):
        similarity, decision = near[:, place, 0], near[:, place, 1].astype(np.int64)
        weight = np.where(similarity >= NEAREST, (similarity / one_vote) ** sharpness, 0.0)
        counted[np.arange(len(near)), decision] += weight
    logarithms: Array = np.log(counted / counted.sum(1, keepdims=True))
    return logarithms


def figures(scores: Array, labels: NDArray[np.int64]) -> str:
    judged = [
        Judged(DECISIONS[t], DECISIONS[k], str(n))
        for n, (t, k) in enumerate(zip(labels, scores.argmax(1), strict=True))
    ]
    counts = confusion(judged)
    macro = float(FIGURES["macro_f1"](counts))
    danger = float(FIGURES["danger_allowed"](counts))
    return f"NLL {nll(softmax(scores), labels):.4f}, macro F1 {macro:.3f}, danger allowed {danger:.3f}"


def of_precedents(samples: Sequence[Sample], labels: NDArray[np.int64]) -> None:
    scores, near = wording_scores(samples), nearest(samples)
    scores = scores / fit_temperature(scores, labels)
    print(f"wording alone: {figures(scores, labels)}")
    print(f"similarity of the nearest case, 10 / 50 / 90 %: {np.quantile(near[:, 0, 0], [0.1, 0.5, 0.9]).round(3)}")
    rows = []
    for one_vote, sharpness, prior in itertools.product((0.05, 0.1, 0.15, 0.2, 0.3), (1.0, 2.0, 4.0), (0.3, 1.0)):
        said = votes(near, one_vote, sharpness, prior)
        # The weight of the wording is fitted anew; that of the precedents stays 1, as in the demo policy.
        together = min((scores / t + said for t in np.geomspace(0.5, 3, 12)), key=lambda s: nll(softmax(s), labels))
        rows.append((nll(softmax(together), labels), (one_vote, sharpness, prior), said, together))
    for _, (one_vote, sharpness, prior), said, together in sorted(rows, key=lambda row: -row[0]):
        print(f"one vote {one_vote}, sharpness {sharpness:g}, prior {prior}: alone {figures(said, labels)}; "
              f"together {figures(together, labels)}")  # fmt: skip


def of_wording(samples: Sequence[Sample], labels: NDArray[np.int64]) -> None:
    for strength, least in itertools.product((3.0, 10.0, 30.0), (1, 2, 3)):
        wording.STRENGTH, wording.LEAST_TEXTS = strength, least
        scores = wording_scores(samples)
        print(
            f"strength {strength:g}, least texts {least}: {figures(scores / fit_temperature(scores, labels), labels)}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wording", action="store_true", help="the wording model's own constants")
    options = parser.parse_args()
    samples = [s for s in written_requests(load_config("tiny")) if s.split is Split.TRAIN and s.decision]
    labels = np.array([label(s).severity for s in samples], dtype=np.int64)
    (of_wording if options.wording else of_precedents)(samples, labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
