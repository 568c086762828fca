"""Entries counted under names; what a section is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

from so8t.core.ledger_read import Stored
from so8t.operate.compliance.figures import Figure, Section, counted, plain
from so8t.report.figures import Words


class Counter(Protocol):
    """Sees every entry of the period once, in order; then tells what it counted."""

    def take(self, entry: Stored) -> None: ...
    def sections(self) -> tuple[Section, ...]: ...


class Tally:
    """Names are tuples: ("rule", "clearance", "DENY"). An entry counts once under a name."""

    def __init__(self) -> None:
        self._seqs: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)

    def add(self, seq: int, *name: object) -> None:
        seqs = self._seqs[tuple(map(plain, name))]
        if not seqs or seqs[-1] != seq:
            seqs.append(seq)

    def seqs(self, *name: str) -> tuple[int, ...]:
        return tuple(self._seqs.get(name, ()))

    def under(self, *front: str) -> Iterator[tuple[str, ...]]:
        """The names that begin so, in order."""
        return iter(sorted(name for name in self._seqs if name[: len(front)] == front))

    def figure(self, label: Words, *name: str, note: str = "") -> Figure:
        return counted(".".join(name), label, self.seqs(*name), note)
