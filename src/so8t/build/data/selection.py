"""From the kept parts of all units to the texts of a run: no duplicates, no more than the quotas (SPEC D3, D4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from so8t.build.data.gathering import UnitFolder
from so8t.build.data.near import Clusters, Likeness, candidate_groups, cluster
from so8t.build.data.parts import KNOWN
from so8t.build.data.sources import Source
from so8t.core.config import CollectConfig
from so8t.core.files import write_jsonl

CACHED_PARTS = 64
NAMED = 1000  # clusters that are written out
Row = dict[str, Any]


class Rows:
    """The rows of many parts by one number through all of them; nothing is kept in memory but where lines begin."""

    def __init__(self, units: Sequence[UnitFolder]) -> None:
        self._parts = [path for unit in units for path in unit.parts()]
        counts = [rows for unit in units for rows in unit.state.rows]
        self._first = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])
        self._starts = lru_cache(CACHED_PARTS)(_line_starts)

    def __len__(self) -> int:
        return int(self._first[-1])

    def some(self, numbers: Sequence[int]) -> list[Row]:
        """The rows with these ascending numbers."""
        found: list[Row] = []
        parts = np.searchsorted(self._first, numbers, "right") - 1
        for part in np.unique(parts).tolist():
            path = self._parts[part]
            places = self._starts(path)[np.asarray(numbers)[parts == part] - self._first[part]]
            with path.open("rb") as f:
                for place in places.tolist():
                    f.seek(place)
                    found.append(orjson.loads(f.readline()))
        return found

    def texts(self, numbers: Sequence[int]) -> list[str]:
        return [str(row["text"]) for row in self.some(numbers)]

    def lines(self) -> Iterator[bytes]:
        """Every row as it is on the disk."""
        for path in self._parts:
            with path.open("rb") as f:
                yield from f


def _line_starts(path: Path) -> NDArray[np.int64]:
    ends = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8) == ord("\n"))
    return np.concatenate([[0], ends[:-1] + 1])


@dataclass(slots=True)
class Duplicates:
    """fresh [rows]: False for what repeats an earlier row."""

    fresh: NDArray[np.bool_] = field(default_factory=lambda: np.ones(0, np.bool_))
    exact: int = 0
    near: int = 0
    compared: int = 0
    clusters: int = 0
    largest: list[dict[str, Any]] = field(default_factory=list)


def find_duplicates(units: Sequence[UnitFolder], rows: Rows, threshold: float, work: Path, out: Path) -> Duplicates:
    """Across all sources; of a cluster the first row stays. The clusters are written to `out` for people to look at."""
    groups = candidate_groups((keys for unit in units for keys in unit.known("keys")), len(rows), work / "buckets")
    clusters = Clusters(len(rows), work / "clusters.bin")
    like = Likeness(rows.texts)
    found = Duplicates(compared=cluster(groups, clusters, like, threshold))
    roots = clusters.roots()
    found.fresh = roots == np.arange(len(roots))
    repeats = np.flatnonzero(~found.fresh)
    hashes = np.concatenate([np.zeros(0, np.uint64), *(k[:, 0] for unit in units for k in unit.known("keys"))])
    found.exact = int((hashes[repeats] == hashes[roots[repeats]]).sum())
    found.near = len(repeats) - found.exact
    found.clusters = len(np.unique(roots[repeats]))
    members: dict[int, list[int]] = {}
    for number, root in zip(repeats.tolist(), roots[repeats].tolist(), strict=True):
        if root in members or len(members) < NAMED:
            members.setdefault(root, []).append(number)
    described = list(_described(rows, like, members))
    found.largest = sorted(described, key=lambda c: -int(c["size"]))[:10]
    write_jsonl(out, described)
    return found


def of_every_row(units: Sequence[UnitFolder], what: str) -> NDArray[Any]:
    """One field of parts.KNOWN of all rows."""
    found = [values for unit in units for values in unit.known(what)]
    return np.concatenate(found) if found else np.zeros(0, KNOWN)[what]


def _described(rows: Rows, like: Likeness, members: dict[int, list[int]]) -> Iterator[dict[str, Any]]:
    """What people look at: the kept text of a cluster beside some of those that went."""
    shown = {root: others[:5] for root, others in members.items()}
    numbers = sorted({n for root, others in shown.items() for n in (root, *others)})
    texts = dict(zip(numbers, rows.some(numbers), strict=True))
    like.prepare(numbers)
    for root, others in shown.items():
        examples = [_named(texts[n]) | {"jaccard": round(like(root, n), 3)} for n in others]
        yield {"size": 1 + len(members[root]), "kept": _named(texts[root]), "examples": examples}


def _named(row: Row) -> Row:
    return {"source": row["source"], "place": row["family"], "text": row["text"][:120]}


@dataclass(slots=True)
class Quotas:
    """How many texts of each source, and of each domain from it, are still wanted."""

    left: dict[int, int]
    domain_left: dict[tuple[int, int], int]
    domain_limit: dict[int, int]

    @classmethod
    def of(cls, config: CollectConfig, sources: Sequence[Source]) -> Quotas:
        wanted = {i: round(s.share * config.maximum_samples) for i, s in enumerate(sources)}
        limit = config.maximum_per_domain or config.maximum_samples
        return cls(wanted, {}, {i: math.ceil(s.share * limit) for i, s in enumerate(sources)})

    def take(self, source: int, domain: int) -> str:
        """ "" when the text is wanted, else the quota that is full."""
        if self.left[source] <= 0:
            return "source quota"
        left = self.domain_left.setdefault((source, domain), self.domain_limit[source])
        if left <= 0:
            return "domain quota"
        self.left[source] -= 1
        self.domain_left[source, domain] = left - 1
        return ""


def select(
    domains: NDArray[np.uint8], owners: NDArray[np.int64], fresh: NDArray[np.bool_], quotas: Quotas,
    dropped: list[Counter[str]],
) -> NDArray[np.bool_]:  # fmt: skip
    """[rows] True for what is kept, first come first served. owners: the source of every row; dropped: by source."""
    chosen = np.zeros(len(fresh), np.bool_)
    for number, (domain, source) in enumerate(zip(domains.tolist(), owners.tolist(), strict=True)):
        reason = quotas.take(source, domain) if fresh[number] else "duplicate"
        if reason:
            dropped[source][reason] += 1
        else:
            chosen[number] = True
    return chosen
