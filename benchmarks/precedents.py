"""How good are precedents alone? Leave one writing pass out, ask the others; calibration and test passes are not read.

python benchmarks/precedents.py
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict

import numpy as np

from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.types import DECISIONS, Request, Sample, Split
from so8t.decide.calibrate import nll
from so8t.judge import precedent
from so8t.judge.precedent import Case, PrecedentStore
from so8t.prove.suite import label


def measure(passes: dict[str, list[Sample]]) -> dict[str, float]:
    """Coverage, accuracy and NLL where a like case was found, with the module's present constants."""
    rows, labels, total = [], [], 0
    for name, held in passes.items():
        others = [s for other, members in passes.items() if other != name for s in members]
        store = PrecedentStore([Case(s.id, s.text, label(s), s.source) for s in others])
        for sample in held:
            total += 1
            opinion = store.opinion(Request(sample.id, sample.text))
            if opinion.probabilities is not None:
                rows.append([opinion.probabilities[d] for d in DECISIONS])
                labels.append(DECISIONS.index(label(sample)))
    found, truth = np.array(rows), np.array(labels)
    accuracy = float((found.argmax(1) == truth).mean())
    return {"coverage": len(rows) / total, "accuracy": accuracy, "nll": nll(found, truth)}


def main() -> None:
    passes: dict[str, list[Sample]] = defaultdict(list)
    for sample in written_requests(load_config("tiny")):
        if sample.split in (Split.TRAIN, Split.VALIDATION):
            passes[sample.source].append(sample)
    for nearest, neighbours, sharpness in itertools.product((0.05, 0.08, 0.12, 0.2), (5, 9, 15), (2.0, 4.0)):
        precedent.NEAREST, precedent.NEIGHBOURS, precedent.SHARPNESS = nearest, neighbours, sharpness
        settings = {"nearest": nearest, "neighbours": neighbours, "sharpness": sharpness}
        print(json.dumps(settings | {k: round(v, 3) for k, v in measure(passes).items()}))


if __name__ == "__main__":
    main()
