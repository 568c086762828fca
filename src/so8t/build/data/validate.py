"""Stage validate: contradictions and leaks stop the run, duplicates and personal data are repaired (SPEC D8)."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from so8t.build.data.checks import Check, balance, contradictions, enough, families
from so8t.build.data.contamination import containing
from so8t.build.data.report_facts import report_facts
from so8t.build.data.sample_lines import split_file, write_samples
from so8t.core.config import Config
from so8t.core.errors import ValidationFailed
from so8t.core.files import write_json, write_text
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import Decision, Domain, Sample, Split
from so8t.decide.pii import mask
from so8t.report.data_report import data_report_html, data_report_markdown

REPORT, REPORT_HTML = "report.md", "report.html"
SHOWN = 10  # failing rows named in an error
HELD = (Split.CALIBRATION, Split.TEST, Split.VALIDATION)
EVALUATION = (Split.CALIBRATION, Split.TEST)


def validate(
    config: Config, folder: Path, samples: list[Sample], upstream: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Repair, check, report, and write one file a split. `upstream`: the facts of collect, synth and multimodal.

    Raises ValidationFailed naming the rows; then the report is all that is written.
    """
    checks = [contradictions(samples)]
    samples, duplicates = drop_duplicates(samples)
    samples, near = drop_near_evaluation(samples, config.validate.near_duplicate)
    samples, contaminated = drop_contaminated(samples)
    samples, found = mask_pii(samples)
    checks += [families(samples), enough(config.validate, samples), *balance(config.validate, samples)]
    facts = statistics(samples) | {
        "duplicates_dropped": duplicates,
        "near_evaluation_dropped": near,
        "contaminated_dropped": contaminated,
        "pii_masked": found,
        "checks": {c.name_en: c.passed for c in checks},
    }
    _report(config, folder, samples, upstream, facts, checks)
    refuse(checks, folder)
    for split in Split:
        write_samples(split_file(folder, split), (s for s in samples if s.split == split))
    write_json(folder / "statistics.json", facts)
    return facts


def refuse(checks: Sequence[Check], folder: Path) -> None:
    """Raises ValidationFailed when a check has not passed."""
    failed = [check for check in checks if not check.passed]
    if failed:
        rows = [f"{row.id} ({row.why})" for check in failed for row in check.rows]
        detail = "; ".join(f"{check.name_en} {check.value} ({check.limit})" for check in failed)
        where = "; ".join(rows[:SHOWN]) + (" … " if len(rows) > SHOWN else " ")
        raise ValidationFailed(where=f"{where}{folder / REPORT_HTML}".strip(), detail=detail)


def _report(
    config: Config, folder: Path, samples: Sequence[Sample], upstream: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any], checks: Sequence[Check],
) -> None:  # fmt: skip
    shown = report_facts(config, samples, upstream, facts, checks)
    write_json(folder / "report.json", shown)
    write_text(folder / REPORT_HTML, data_report_html(shown))
    write_text(folder / REPORT, data_report_markdown(shown, "ja"))


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
    held = [_shingles(s.text) for s in samples if s.kind == "request" and s.split in EVALUATION]
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


def drop_contaminated(samples: Sequence[Sample]) -> tuple[list[Sample], int]:
    """Plain texts that hold a request of an evaluation split word for word go."""
    held = [s.text for s in samples if s.kind == "request" and s.split in EVALUATION]
    texts = [i for i, s in enumerate(samples) if s.kind == "text"]
    bad = {texts[i] for i in containing([samples[i].text for i in texts], held)}
    return [s for i, s in enumerate(samples) if i not in bad], len(bad)


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
