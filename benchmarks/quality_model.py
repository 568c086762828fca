"""Train the junk model that ships with the package (build/data/junk.py), say how good it is, --write puts it in place.

    python3 benchmarks/quality_model.py [--write]

Learns from src/so8t/resources/quality/junk.jsonl, the starter corpus and the requests of the training passes as prose,
and broken copies of the corpus. Two fifths of the written junk are tried by models that have not seen them (5 folds).
Nothing of benchmarks/data is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import re
import time
from collections import Counter

import numpy as np

from so8t.build.data.collect import starter_documents
from so8t.build.data.junk import CLASSES, FILE, JunkModel
from so8t.build.data.softmax_regression import fit
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.files import read_jsonl, write_bytes
from so8t.core.packaged import packaged
from so8t.core.text import sentences
from so8t.core.types import Split
from so8t.decide.codes import encode_folded
from so8t.decide.linear import LONGEST, grams

LABELS = {"prose": 0, "notice": 1, "ad": 2, "navigation": 3, "machine": 4}
LIMIT = 0.5
FOLDS = 5
Labelled = tuple[str, int]


def written() -> list[Labelled]:
    rows = [row for _, row in read_jsonl(packaged("quality", "junk.jsonl"))]
    return sorted(((r["text"], LABELS[r["kind"]]) for r in rows), key=lambda p: hashlib.sha256(p[0].encode()).digest())


def prose() -> list[Labelled]:
    """Whole paragraphs and pairs of their sentences; requests only where they are longer than a line."""
    texts = [d.text for d in starter_documents()]
    texts += ["".join(sentences(t)[i : i + 2]) for t in texts for i in range(0, len(sentences(t)), 2)]
    requests = [s.text for s in written_requests(load_config("tiny")) if s.split == Split.TRAIN and not s.attack]
    return [(text, 0) for text in (*texts, *(t for t in requests if len(t) > 60 and "。" in t))]


def broken() -> list[Labelled]:
    """A tenth of the corpus as placeholders, menus and word lists."""
    rng = random.Random(4)
    made = []
    for document in starter_documents():
        words = re.findall(r"[ァ-ヴー]{2,}|[一-鿿]{2,}", document.text)
        if len(words) > 8 and rng.random() < 0.15:
            rng.shuffle(words)
            made.append((rng.choice((" | ", " > ", "\n", "、", " ")).join(words), LABELS["navigation"]))
    return made


def train(rows: list[Labelled]) -> JunkModel:
    found = fit([text for text, _ in rows], [label for _, label in rows], CLASSES)
    return JunkModel(found.weight, found.bias, LIMIT)


def shares(model: JunkModel, texts: list[str]) -> np.ndarray:
    return model.shares(grams(encode_folded([t.replace("\0", "") for t in texts]), LONGEST))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows, common = written(), [*prose(), *broken()]
    right: Counter[int] = Counter()
    for fold in range(FOLDS):
        model = train([r for i, r in enumerate(rows) if i % FOLDS != fold] + common)
        held = [r for i, r in enumerate(rows) if i % FOLDS == fold]
        junk = shares(model, [text for text, _ in held]).sum(-1) > LIMIT
        right.update(label for (_, label), found in zip(held, junk, strict=True) if found == (label > 0))
    model = train(rows + common)
    if options.write:
        write_bytes(packaged("models", FILE), model.to_bytes())
    counts = Counter(label for _, label in rows)
    print(json.dumps({
        "written": len(rows), "prose": len(common),
        "right_by_kind": {name: round(right[k] / max(1, counts[k]), 3) for name, k in LABELS.items()},
        "bytes": len(model.to_bytes()), "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
    }, ensure_ascii=False))  # fmt: skip


if __name__ == "__main__":
    main()
