"""What must hold of the samples before anything is learned from them; a failed check names its rows (SPEC D8)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from so8t.core.config import ValidateConfig
from so8t.core.text import dedup_key
from so8t.core.types import Decision, Sample, Split

LONGEST_SHOWN = 400  # characters of a failing row's text


@dataclass(frozen=True, slots=True)
class FailingRow:
    id: str
    place: str
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. value and limit are what was found and what is allowed, as people read them."""

    name_ja: str
    name_en: str
    value: str
    limit: str
    rows: tuple[FailingRow, ...] = ()
    failed: bool = False

    @property
    def passed(self) -> bool:
        return not (self.failed or self.rows)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}


def _row(sample: Sample, why: str) -> FailingRow:
    return FailingRow(sample.id, sample.source, why, sample.text[:LONGEST_SHOWN])


def contradictions(samples: Iterable[Sample]) -> Check:
    """The same request with the same levels cannot have two decisions (LABELS.md)."""
    seen: dict[tuple[str, str | None, str | None], Sample] = {}
    rows = []
    for sample in samples:
        if sample.kind != "request":
            continue
        first = seen.setdefault((dedup_key(sample.text), sample.clearance, sample.classification), sample)
        if first.decision != sample.decision:
            rows.append(_row(sample, f"{sample.decision}; {first.id} {first.decision}"))
    return Check("正解の矛盾", "label contradictions", str(len(rows)), "0", tuple(rows))


def families(samples: Iterable[Sample]) -> Check:
    """A family, and a minimal pair, lies in one split only."""
    members: dict[str, dict[Split, Sample]] = defaultdict(dict)
    for sample in samples:
        if sample.kind == "request":
            members[f"family {sample.family}"].setdefault(sample.split, sample)
            if sample.pair:
                members[f"pair {sample.pair}"].setdefault(sample.split, sample)
    rows = [
        _row(sample, f"{name}: {' / '.join(sorted(found))}")
        for name, found in sorted(members.items())
        if len(found) > 1
        for sample in list(found.values())[:1]
    ]
    return Check("分割をまたぐ系列", "families in two splits", str(len(rows)), "0", tuple(rows))


def enough(config: ValidateConfig, samples: Sequence[Sample]) -> Check:
    return Check(
        "標本の数", "samples", f"{len(samples)}", f">= {config.minimum_samples}",
        failed=len(samples) < config.minimum_samples,
    )  # fmt: skip


def balance(config: ValidateConfig, samples: Iterable[Sample]) -> list[Check]:
    """No decision of the training split is missing or drowns the others."""
    labels = Counter(s.decision for s in samples if s.decision is not None and s.split == Split.TRAIN)
    total = max(1, sum(labels.values()))
    limit = config.maximum_label_share
    return [
        Check(
            f"{decision} の割合(学習)", f"share of {decision} (train)", f"{labels[decision] / total:.1%}",
            f"> 0, <= {limit:.0%}", failed=not 0 < labels[decision] / total <= limit,
        )
        for decision in Decision
    ]  # fmt: skip
