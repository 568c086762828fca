"""The generator of judged requests: how many, how fast, how different, and what its surface gives away.

    python3 benchmarks/synthesis.py [--count 25000] [--processes 2] [--seeds] [--json FILE]
    python3 benchmarks/synthesis.py --transfer [--count 1500] [--json FILE]

The first generates `--count` requests a domain in `--processes` processes and in one, compares the two outputs, and
prints seconds, unique shares, contradictions, and the accuracy that surface alone reaches on minimal pairs whose family
was held out: naive Bayes on characters 2-3 and logistic regression on hashed characters 1-3, in all and by kind of
scene, and the two level fields alone. --seeds: with the written training requests as seeds.

--transfer: logistic regression on hashed characters 1-3 and the gap between the levels, fitted on generated requests,
on the written training requests, and on both, read on the written validation requests (never on calibration or test).
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from so8t.build.data.synth import generate
from so8t.build.data.synth_report import family_fold, kind_of, ngram_accuracy, report, whole_pairs
from so8t.build.data.written import load_written
from so8t.core.config import SynthConfig
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import DECISIONS, Domain, Levels, Sample, Split

BUCKETS = 1 << 17
FOLDS = 5
PARTS = 4  # of the training passes
PENALTY = 1e-5
CONTRACTS: dict[Domain, dict[str, Any]] = {domain: {"role": str(domain)} for domain in Domain}
STATE: dict[str, Any] = {"classification_levels": list(Levels().names)}


def features(rows: Sequence[Sample], *, levels: bool) -> torch.Tensor:
    """[rows, BUCKETS + levels], each row of unit length over its different grams; the gap has columns of its own."""
    places: list[tuple[int, int]] = []
    values: list[float] = []
    width = BUCKETS + 8
    for number, sample in enumerate(rows):
        text = dedup_key(sample.text)
        found = {zlib.crc32(g.encode()) % BUCKETS for n in (1, 2, 3) for g in ngrams(text, n)}
        places += [(number, bucket) for bucket in sorted(found)]
        values += [len(found) ** -0.5] * len(found)
        if levels:
            gap = Levels().gap(str(sample.clearance), str(sample.classification))
            places.append((number, BUCKETS + min(max(gap, 0), 3)))
            values.append(0.5)
    index = torch.tensor(places, dtype=torch.long).T
    return torch.sparse_coo_tensor(index, torch.tensor(values), (len(rows), width), check_invariants=True).coalesce()


def fit(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """[width, 3] by L-BFGS; `weights` one a row."""
    weight = torch.zeros(x.shape[1], len(DECISIONS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(torch.sparse.mm(x, weight), y, reduction="none")
        loss = (losses * weights).sum() / weights.sum() if weights is not None else losses.mean()
        loss = loss + PENALTY * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()


def labels(rows: Sequence[Sample]) -> torch.Tensor:
    return torch.tensor([DECISIONS.index(s.decision) for s in rows if s.decision is not None])


def regression_hits(rows: Sequence[Sample]) -> list[bool]:
    """Whether each row is judged right by a model that has not seen its family."""
    x, y = features(rows, levels=False), labels(rows)
    folds = torch.tensor([family_fold(s.family, FOLDS) for s in rows])
    hit = torch.zeros(len(rows), dtype=torch.bool)
    for fold in range(FOLDS):
        inside, outside = (folds == fold).nonzero()[:, 0], (folds != fold).nonzero()[:, 0]
        if len(inside) and len(outside):
            weight = fit(x.index_select(0, outside), y[outside])
            hit[inside] = torch.sparse.mm(x.index_select(0, inside), weight).argmax(1) == y[inside]
    return [bool(h) for h in hit]


def cues(samples: Sequence[Sample], thousands: int) -> dict[str, Any]:
    """Surface accuracies on whole pairs, by kind and in all."""
    rows = whole_pairs(samples, thousands * 1000 // 3)
    hits: dict[str, list[bool]] = defaultdict(list)
    families: dict[str, list[bool]] = defaultdict(list)
    for sample, hit in zip(rows, regression_hits(rows), strict=True):
        hits[kind_of(sample)].append(hit)
        families[sample.family].append(hit)
    worst = sorted(families, key=lambda f: -float(np.mean(families[f])))[:12]
    return {
        "rows": len(rows),
        "regression": share([h for values in hits.values() for h in values]),
        "regression_by_kind": {kind: share(values) for kind, values in sorted(hits.items())},
        "naive_bayes": ngram_accuracy(rows),
        "naive_bayes_by_kind": {k: ngram_accuracy([s for s in rows if kind_of(s) == k]) for k in sorted(hits)},
        "clearest_families": {family: share(families[family]) for family in worst},
    }


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def digest(samples: Sequence[Sample]) -> str:
    total = sha256()
    for sample in samples:
        total.update(f"{sample.id}\0{sample.text}\0{sample.response}\0{sample.clearance}\0".encode())
    return total.hexdigest()[:16]


def seeds() -> list[Sample]:
    return [s for s in load_written(CONTRACTS, STATE) if s.split is Split.TRAIN]


def measure(count: int, processes: int, given: Sequence[Sample]) -> dict[str, Any]:
    facts: dict[str, Any] = {"seeds": len(given)}
    prints = set()
    for number in dict.fromkeys((processes, 1)):
        begin = time.perf_counter()
        samples = list(generate(SynthConfig(), CONTRACTS, STATE, count, given, number))
        facts[f"seconds_{number}_processes"] = round(time.perf_counter() - begin, 2)
        prints.add(digest(samples))
    facts["same_for_any_processes"] = len(prints) == 1
    begin = time.perf_counter()
    facts["report"] = report(samples)
    facts["report_seconds"] = round(time.perf_counter() - begin, 2)
    facts["cues"] = cues([s for s in samples if kind_of(s) != "written"], 9)
    lengths = np.array([len(s.text) for s in samples])
    facts["characters"] = {str(q): int(np.percentile(lengths, q)) for q in (5, 50, 75, 95, 100)}
    return facts


def transfer(count: int) -> dict[str, Any]:
    """Macro F1 and recalls on the written validation requests, and on training passes that were held out in turn."""
    written = seeds()
    held = [s for s in load_written(CONTRACTS, STATE) if s.split is Split.VALIDATION]
    plain = list(generate(SynthConfig(), CONTRACTS, STATE, count))
    facts: dict[str, Any] = {"rows": len(held)}
    facts["validation"] = {name: scores(got, labels(held)) for name, got in judged(written, plain, count, held).items()}
    passes = sorted({s.source for s in written})
    found: dict[str, list[torch.Tensor]] = defaultdict(list)
    truth = []
    for number in range(PARTS):
        outside = [s for s in written if passes.index(s.source) % PARTS == number]
        inside = [s for s in written if passes.index(s.source) % PARTS != number]
        truth.append(labels(outside))
        for name, got in judged(inside, plain, count, outside).items():
            found[name].append(got)
    facts["held_out_passes"] = {name: scores(torch.cat(got), torch.cat(truth)) for name, got in found.items()}
    return facts


def judged(
    written: Sequence[Sample], plain: Sequence[Sample], count: int, held: Sequence[Sample]
) -> dict[str, torch.Tensor]:
    """Decisions on `held` by models of each set of training requests; a generated request counts half a written one."""
    seeded = list(generate(SynthConfig(), CONTRACTS, STATE, count, written))
    sets = {
        "generated": plain,
        "written": written,
        "written + generated": [*written, *plain],
        "written + seeded": [*written, *seeded],
    }
    x, found = features(held, levels=True), {}
    for name, rows in sets.items():
        weights = torch.tensor([1.0 if s.source.startswith("so8t written") else 0.5 for s in rows])
        found[name] = torch.sparse.mm(x, fit(features(rows, levels=True), labels(rows), weights)).argmax(1)
    return found


def scores(got: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    recalls, f1 = {}, []
    for k, decision in enumerate(DECISIONS):
        hit = int(((got == k) & (y == k)).sum())
        recalls[f"recall_{decision}"] = round(hit / max(1, int((y == k).sum())), 3)
        f1.append(2 * hit / max(1, int((got == k).sum()) + int((y == k).sum())))
    return {"macro_f1": round(float(np.mean(f1)), 3), **recalls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", action="store_true")
    parser.add_argument("--transfer", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.transfer:
        facts = transfer(options.count or 1500)
    else:
        facts = measure(options.count or 25_000, options.processes, seeds() if options.seeds else ())
    text = json.dumps(facts, ensure_ascii=False, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
