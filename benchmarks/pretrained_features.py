"""Does a pretrained model know more of a request than its characters? Frozen features beside the wording model's.

    python benchmarks/pretrained_features.py runs/g/base/model [--layers 9,12,15] [--sizes 1000,2000,4000]

Each request is read once by the model (transformers, float32); the mean and the last hidden state of some layers are
features of a multinomial regression: alone, and added to the n-grams and levels of decide/wording.py. Trained on the
written training requests, measured on the benchmark's development part; the test part is not read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from judgement import Row, rows_of

from so8t.build.data.softmax_regression import minimise
from so8t.build.data.wording import gap, inverse_document_frequency
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.types import DECISIONS, Levels, Sample, Split
from so8t.decide.calibrate import Array
from so8t.decide.views import clearest
from so8t.decide.wording import BUCKETS, STEPS_ABOVE, features
from so8t.prove.safety import FIGURES, Judged, confusion

LEVELS = Levels()
BATCH, LONGEST = 16, 400  # texts at once, characters of each
SCALE = 0.02  # of the standardised features beside n-grams of length 1
PENALTY_STRENGTH = 10.0


def read(model: Path, texts: Sequence[str], layers: Sequence[int]) -> Array:
    """[texts, 2 x layers x hidden]: mean over the tokens, and the last token's state, of each layer."""
    tokenizer, net = load_tokenizer(model), load_causal(model, torch.float32).eval()
    tokenizer.padding_side = "right"
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    found: list[np.ndarray] = [np.zeros(0)] * len(texts)
    begin = time.perf_counter()
    for start in range(0, len(order), BATCH):
        numbers = order[start : start + BATCH]
        asked = tokenizer([texts[n][:LONGEST] for n in numbers], return_tensors="pt", padding=True)
        with torch.inference_mode():
            states = net.model(**asked, output_hidden_states=True).hidden_states
        mask = asked["attention_mask"].unsqueeze(-1).float()
        last = asked["attention_mask"].sum(1) - 1
        rows = torch.arange(len(numbers))
        parts = [p for k in layers for p in ((states[k] * mask).sum(1) / mask.sum(1), states[k][rows, last])]
        for n, row in zip(numbers, torch.cat(parts, 1).numpy(), strict=True):
            found[n] = row
        if start // BATCH % 40 == 0:
            left = (time.perf_counter() - begin) / (start + BATCH) * (len(order) - start)
            print(f"{start:,} of {len(order):,}, {left:.0f} s left", file=sys.stderr)
    return np.stack(found).astype(np.float64)


def sparse(texts: Sequence[str], gaps: Sequence[int], rarity: np.ndarray, dense: Array | None) -> torch.Tensor:
    """n-grams and levels, and `dense` after them; dense None = without."""
    found = features(texts, gaps, rarity)
    rows, columns, values = [found.rows], [found.columns], [found.values]
    width = BUCKETS + STEPS_ABOVE
    if dense is not None:
        rows.append(np.repeat(np.arange(len(texts)), dense.shape[1]))
        columns.append(np.tile(np.arange(dense.shape[1]) + width, len(texts)))
        values.append(dense.ravel().astype(np.float32))
        width += dense.shape[1]
    places = torch.from_numpy(np.stack([np.concatenate(rows), np.concatenate(columns)]))
    size = (len(texts), width)
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(np.concatenate(values)), size, check_invariants=True
    ).coalesce()


def measured(rows: Sequence[Row], scores: torch.Tensor) -> str:
    judged = [Judged(r.label, DECISIONS[k], r.group) for r, k in zip(rows, scores.argmax(1).tolist(), strict=True)]
    counts = confusion(judged)
    return " | ".join(f"{float(FIGURES[name](counts)):.3f}" for name in ("macro_f1", "refuse_recall", "danger_allowed"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a pretrained model (runs/NAME/base/model)")
    parser.add_argument("--layers", default="9,12,15")
    parser.add_argument("--sizes", default="1000,2000,4000,1000000")
    options = parser.parse_args()
    train = [s for s in written_requests(load_config("tiny")) if s.split is Split.TRAIN and s.decision]
    dev = rows_of("dev")
    texts = [clearest(t).text for t in (*(s.text for s in train), *(r.request.query for r in dev))]
    dense = read(options.model, texts, [int(k) for k in options.layers.split(",")])
    order = np.random.default_rng(8).permutation(len(train))
    print("| requests | features | macro F1 | refuse recall | danger allowed |\n|--:|---|--:|--:|--:|")
    for size in map(int, options.sizes.split(",")):
        chosen = order[:size]
        for name, line in compared([train[n] for n in chosen], dense[chosen], dev, dense[len(train) :]).items():
            print(f"| {len(chosen):,} | {name} | {line} |", flush=True)
    return 0


def compared(train: Sequence[Sample], own: Array, dev: Sequence[Row], theirs: Array) -> dict[str, str]:
    mean, spread = own.mean(0), own.std(0) + 1e-6
    own, theirs = ((x - mean) / spread * SCALE for x in (own, theirs))
    texts, asked = [s.text for s in train], [r.request.query for r in dev]
    gaps = [gap(s, LEVELS) for s in train]
    levels = [LEVELS.gap(r.request.clearance, r.request.classification or LEVELS.names[0]) for r in dev]
    labels = torch.tensor([DECISIONS.index(s.decision) for s in train if s.decision])
    rarity = inverse_document_frequency(texts)
    silent = np.zeros_like(rarity)
    found = {}
    for name, weights, with_dense in (
        ("n-grams and levels", rarity, False), ("pretrained and levels", silent, True), ("all", rarity, True),
    ):  # fmt: skip
        x = sparse(texts, gaps, weights, own if with_dense else None)
        y = sparse(asked, levels, weights, theirs if with_dense else None)
        penalty = 1 / (2 * PENALTY_STRENGTH * len(train))
        weight, bias = minimise(x, labels, len(DECISIONS), penalty=penalty, steps=100)
        found[name] = measured(dev, torch.sparse.mm(y, weight.T) + bias)
    return found


if __name__ == "__main__":
    sys.exit(main())
