"""Stage validate: contradictions and leaks stop the run, duplicates and personal data are repaired (SPEC D8)."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so8t.core.config import Config
from so8t.core.errors import ValidationFailed
from so8t.core.files import read_jsonl, write_json, write_jsonl, write_text
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import Decision, Domain, Sample, Split
from so8t.decide.pii import mask

REPORT = "report.md"
SHOWN = 10  # failing rows named in an error
HELD = (Split.CALIBRATION, Split.TEST, Split.VALIDATION)


def load_samples(files: Sequence[Path]) -> list[Sample]:
    return [Sample.from_json(record, f"{path}:{number}") for path in files for number, record in read_jsonl(path)]


def split_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.jsonl"


def validate(config: Config, folder: Path, samples: list[Sample]) -> dict[str, Any]:
    """Check, repair and write one file a split. Raises ValidationFailed naming the rows."""
    check_contradictions(samples)
    samples, duplicates = drop_duplicates(samples)
    samples, near = drop_near_evaluation(samples, config.validate.near_duplicate)
    check_families(samples)
    samples, found = mask_pii(samples)
    check_counts(config, samples)
    for split in Split:
        write_jsonl(split_file(folder, split), (s.to_json() for s in samples if s.split == split))
    facts = statistics(samples) | {
        "duplicates_dropped": duplicates,
        "near_evaluation_dropped": near,
        "pii_masked": found,
    }
    write_json(folder / "statistics.json", facts)
    write_text(folder / REPORT, _markdown(facts))
    return facts


def check_contradictions(samples: Sequence[Sample]) -> None:
    """The same request with the same levels cannot have two decisions (LABELS.md)."""
    seen: dict[tuple[str, str | None, str | None], Sample] = {}
    rows = []
    for sample in samples:
        if sample.kind != "request":
            continue
        key = (dedup_key(sample.text), sample.clearance, sample.classification)
        first = seen.setdefault(key, sample)
        if first.decision != sample.decision:
            rows.append(f"{first.id} {first.decision} / {sample.id} {sample.decision}")
    if rows:
        raise ValidationFailed(where="; ".join(rows[:SHOWN]), detail=f"{len(rows)} contradictions")


def check_families(samples: Sequence[Sample]) -> None:
    """A family, and a minimal pair, lies in one split only."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        if sample.kind == "request":
            splits[f"family {sample.family}"].add(sample.split)
            if sample.pair:
                splits[f"pair {sample.pair}"].add(sample.split)
    leaks = sorted(name for name, found in splits.items() if len(found) > 1)
    if leaks:
        raise ValidationFailed(where="; ".join(leaks[:SHOWN]), detail=f"{len(leaks)} families in two splits")


def drop_duplicates(samples: Sequence[Sample]) -> tuple[list[Sample], int]:
    """Exact duplicates (spelling folded) go; of two, the one in an evaluation split stays."""
    ranked = sorted(samples, key=lambda s: s.split not in HELD)
    seen: set[tuple[str, str | None, str | None]] = set()
    kept = set()
    for sample in ranked:
        key = (dedup_key(sample.text), sample.clearance, sample.classification)
        if key not in seen:
            seen.add(key)
            kept.add(id(sample))
    result = [s for s in samples if id(s) in kept]
    return result, len(samples) - len(result)


def drop_near_evaluation(samples: Sequence[Sample], threshold: float) -> tuple[list[Sample], int]:
    """Training requests too like one that is held back go (Jaccard of character 3-grams), never the held one."""
    index: dict[str, list[int]] = defaultdict(list)
    held = [_shingles(s.text) for s in samples if s.kind == "request" and s.split in (Split.CALIBRATION, Split.TEST)]
    for number, shingles in enumerate(held):
        for shingle in shingles:
            index[shingle].append(number)
    kept = [s for s in samples if s.split != Split.TRAIN or s.kind != "request" or not _near(s, held, index, threshold)]
    return kept, len(samples) - len(kept)


def _shingles(text: str) -> frozenset[str]:
    return frozenset(ngrams(dedup_key(text), 3))


def _near(sample: Sample, held: list[frozenset[str]], index: dict[str, list[int]], threshold: float) -> bool:
    own = _shingles(sample.text)
    shared = Counter(number for shingle in own for number in index.get(shingle, ()))
    return any(n / (len(own) + len(held[i]) - n) >= threshold for i, n in shared.items())


def mask_pii(samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, int]]:
    """Personal data and secrets become typed placeholders before anything is learned from them."""
    found: Counter[str] = Counter()
    result = []
    for sample in samples:
        text, kinds = mask(sample.text)
        response, more = mask(sample.response or "")
        found += kinds + more
        changes: dict[str, Any] = {"text": text} | ({"response": response} if more else {})
        result.append(dataclasses.replace(sample, **changes) if kinds or more else sample)
    return result, dict(found)


def check_counts(config: Config, samples: Sequence[Sample]) -> None:
    """Enough samples, and no decision that drowns the others."""
    if len(samples) < config.validate.minimum_samples:
        raise ValidationFailed(where="validate.minimum_samples", detail=f"{len(samples)}")
    labels = Counter(s.decision for s in samples if s.decision is not None and s.split == Split.TRAIN)
    total = sum(labels.values())
    for decision in Decision:
        share = labels[decision] / max(1, total)
        if not 0 < share <= config.validate.maximum_label_share:
            raise ValidationFailed(where="validate.maximum_label_share", detail=f"{decision} {share:.0%}")


def statistics(samples: Sequence[Sample]) -> dict[str, Any]:
    requests = [s for s in samples if s.kind == "request"]
    return {
        "samples": len(samples),
        "texts": sum(s.kind == "text" for s in samples),
        "characters": sum(len(s.text) for s in samples),
        "splits": {split.value: sum(s.split == split for s in samples) for split in Split},
        "requests": {split.value: sum(s.split == split for s in requests) for split in Split},
        "decisions": {d.value: sum(s.decision == d for s in requests) for d in Decision},
        "domains": {d.value: sum(s.domain == d for s in samples) for d in Domain},
        "sources": dict(Counter(s.source for s in samples)),
        "licenses": dict(Counter(s.license for s in samples)),
    }


def _markdown(facts: dict[str, Any]) -> str:
    """plan 5.1 step 3: the statistics as a page."""
    lines = ["# データ検証報告 / Data validation report", ""]
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"## {name}", "", "| | |", "|---|---:|", *(f"| {k} | {v} |" for k, v in value.items()), ""]
        else:
            lines += [f"- {name}: {value}"]
    return "\n".join(lines) + "\n"
