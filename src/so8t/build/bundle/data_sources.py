"""Where the training and evaluation data came from: source and licence of every sample, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from so8t.build.bundle.spdx import REFUSED, Licence, licence
from so8t.build.data.sample_lines import split_file
from so8t.core.files import read_jsonl
from so8t.core.types import Split

MOST = 200  # sources named one by one; a web corpus may name one a page
LONGEST = 200
REST = "*"


@dataclass(frozen=True, slots=True)
class DataSource:
    """`splits`: how many samples went where. The name "*" gathers the smaller sources of one licence."""

    name: str
    licence: Licence
    splits: dict[str, int]

    @property
    def samples(self) -> int:
        return sum(self.splits.values())

    @property
    def refused(self) -> bool:
        """Its licence forbids what a company does with it: commercial use, derived works, or training."""
        return not REFUSED.isdisjoint(self.licence.demands)


def data_sources(validated: Path) -> list[DataSource]:
    """All sources of the validated samples, the largest of them by name, in order of name and licence."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for split in Split:
        path = split_file(validated, split)
        for _, record in read_jsonl(path) if path.is_file() else ():
            key = (_one_line(record.get("source")), _one_line(record.get("license")))
            counts.setdefault(key, Counter())[split.value] += 1
    return _named(DataSource(name, licence(said), dict(sorted(c.items()))) for (name, said), c in counts.items())


def _one_line(value: object) -> str:
    return " ".join(str(value or "").split())[:LONGEST]


def _named(sources: Iterable[DataSource]) -> list[DataSource]:
    ordered = sorted(sources, key=lambda s: (-s.samples, s.name, s.licence.shown))
    rest: dict[Licence, Counter[str]] = {}
    for source in ordered[MOST:]:
        rest.setdefault(source.licence, Counter()).update(source.splits)
    gathered = [DataSource(REST, said, dict(sorted(c.items()))) for said, c in rest.items()]
    return sorted([*ordered[:MOST], *gathered], key=lambda s: (s.name, s.licence.shown))
