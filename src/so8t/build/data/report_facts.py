"""The figures of the data stages in the form that report/data_report.py draws."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from so8t.build.data.checks import Check
from so8t.core.config import Config
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split

SHOWN_ROWS = 50  # failing rows of a check
JUDGED = ("quality", "empty", "duplicate", "source quota", "domain quota")  # dropped, but not for being unreadable


def report_facts(
    config: Config, samples: Sequence[Sample], upstream: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any],
    checks: Sequence[Check],
) -> dict[str, Any]:  # fmt: skip
    """See data_report_html for the keys; what an earlier stage did not report is left out."""
    collect = upstream.get("collect", {})
    found = _of_samples(samples) | {
        "run": {"profile": config.profile, "date": time.strftime("%Y-%m-%d")},
        "pii": facts["pii_masked"],
        "licenses": facts["licenses"],
        "checks": [_shortened(check) for check in checks],
        "domains": _domains(samples, collect),
    }
    if collect:
        found |= _of_collect(collect)
    if synth := upstream.get("synth"):
        found["synthesis"] = dict(synth.get("report", {}))
    if pages := upstream.get("multimodal"):
        found["multimodal"] = dict(pages)
    return found


def _shortened(check: Check) -> dict[str, Any]:
    record = check.to_json()
    return record | {"rows": list(record["rows"])[:SHOWN_ROWS], "rows_total": len(check.rows)}


def _of_samples(samples: Sequence[Sample]) -> dict[str, Any]:
    requests = [s for s in samples if s.decision is not None]
    levels = Counter((s.clearance, s.classification, s.decision) for s in requests)
    return {
        "splits": {split.value: sum(s.split == split for s in samples) for split in Split},
        "kinds": dict(Counter(_kind(s) for s in samples)),
        "decisions": {split.value: _decisions(s for s in requests if s.split == split) for split in Split},
        "registers": dict(Counter(s.register for s in requests if s.register)),
        "attacks": dict(Counter(s.attack for s in requests if s.attack)),
        "levels": [[c, k, d, n] for (c, k, d), n in sorted(levels.items(), key=str)],
    }


def _kind(sample: Sample) -> str:
    return "multimodal" if sample.modality == "multimodal" else sample.kind


def _decisions(samples: Iterable[Sample]) -> dict[str, int]:
    counts: Counter[Decision | None] = Counter(s.decision for s in samples)
    return {d.value: counts[d] for d in DECISIONS}


def _domains(samples: Sequence[Sample], collect: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    counts = Counter((s.domain, _kind(s)) for s in samples)
    quotas = collect.get("domain_quota", {})
    return {
        domain.value: {kind: counts[domain, kind] for kind in ("text", "request", "multimodal")}
        | (
            {"quota": quotas[domain], "unfilled": max(0, quotas[domain] - counts[domain, "text"])}
            if domain in quotas
            else {}
        )
        for domain in Domain
    }


def _of_collect(collect: Mapping[str, Any]) -> dict[str, Any]:
    quality = collect["quality"]
    return {
        "sources": collect["sources"],
        "quality": {
            "kept_histogram": _histogram(quality["kept"]),
            "dropped_histogram": _histogram(quality["dropped"]),
            "reasons": [[*words.split("\t"), n] for words, n in Counter(quality["reasons"]).most_common()],
        },
        "lengths": _histogram(collect["lengths"]),
        "duplicates": collect["duplicates"],
        "skipped": [dict(zip(("place", "reason", "detail"), row, strict=True)) for row in collect["skipped"]],
        "skipped_total": {reason: n for reason, n in collect["dropped"].items() if reason not in JUDGED},
    }


def _histogram(counts: Mapping[str, int]) -> list[list[float]]:
    return sorted([float(lower), n] for lower, n in counts.items())
