"""Train the domain model that ships with the package, say how good it is, and with --write put it in its place.

    python3 benchmarks/domain_model.py [--write] [--half test]

The figures are of data/domains.jsonl, written for this and never trained on: of each domain half of the texts use its
usual words ("obvious") and half avoid them. `dev` was looked at while the penalty was chosen, `test` was not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from so8t.build.data.collect import DOMAIN_MODEL, train_domain_model
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.files import read_jsonl, write_bytes
from so8t.core.packaged import packaged
from so8t.core.progress import Progress
from so8t.core.types import Domain, Split
from so8t.decide.codes import encode_folded
from so8t.decide.domain import DOMAINS, DomainModel
from so8t.decide.linear import LONGEST, grams

TEXTS = Path(__file__).resolve().parent / "data" / "domains.jsonl"


def texts(half: str) -> list[dict[str, Any]]:
    rows = [row for _, row in read_jsonl(TEXTS)]
    return [r for r in rows if ("test" if hashlib.sha256(r["id"].encode()).digest()[0] % 2 == 0 else "dev") == half]


def figures(model: DomainModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy, macro F1, and expected calibration error over ten equally filled bins."""
    shares = model.shares(grams(encode_folded([r["text"] for r in rows]), LONGEST))
    wanted = np.array([DOMAINS.index(Domain(r["domain"])) for r in rows])
    judged, sure = shares.argmax(1), shares.max(1)
    right = judged == wanted
    f1 = [2 * (right & (wanted == k)).sum() / max(1, (wanted == k).sum() + (judged == k).sum()) for k in range(8)]
    bins = np.array_split(np.argsort(sure), 10)
    error = sum(abs(right[b].mean() - sure[b].mean()) * len(b) for b in bins if len(b)) / len(rows)
    obvious = np.array([r["obvious"] for r in rows])
    return {
        "texts": len(rows), "macro_f1": round(float(np.mean(f1)), 3), "accuracy": round(float(right.mean()), 3),
        "accuracy_obvious": round(float(right[obvious].mean()), 3),
        "accuracy_hidden": round(float(right[~obvious].mean()), 3), "calibration_error": round(float(error), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--half", choices=("dev", "test"), default="dev")
    options = parser.parse_args()
    requests = written_requests(load_config("tiny"))
    begin = time.perf_counter()
    model, facts = train_domain_model(requests, Progress())
    seconds = time.perf_counter() - begin
    held = [s for s in requests if s.split == Split.VALIDATION]
    right = sum(model.classify(s.text)[0] == s.domain for s in held) / len(held)
    data = model.to_bytes()
    if options.write:
        write_bytes(packaged("models", DOMAIN_MODEL), data)
    print(json.dumps({
        **facts, options.half: figures(model, texts(options.half)), "requests_validation_accuracy": round(right, 4),
        "train_seconds": round(seconds, 1), "bytes": len(data), "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }, ensure_ascii=False))  # fmt: skip


if __name__ == "__main__":
    main()
