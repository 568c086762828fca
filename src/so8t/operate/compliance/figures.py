"""A figure, the entries it was counted from, and how both are written. There is no score: a count is a count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from so8t.report.figures import NONE, Words, seconds

Unit = Literal["count", "seconds"]


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` in `unit`, None = nothing to tell; `seqs`: every entry that it follows from, in order."""

    key: str
    label: Words
    value: float | int | None
    seqs: tuple[int, ...]
    unit: Unit = "count"
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        fields = {"key": self.key, "ja": self.label.ja, "en": self.label.en, "value": self.value, "unit": self.unit}
        return fields | {"entries": compressed(self.seqs)} | ({"note": self.note} if self.note else {})

    def written(self) -> str:
        if self.value is None:
            return NONE
        return f"{self.value:,}" if self.unit == "count" else seconds(self.value)


@dataclass(frozen=True, slots=True)
class Section:
    """Figures under one heading; `about` says what they mean and what they do not."""

    key: str
    title: Words
    about: Words
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        words = {"ja": self.title.ja, "en": self.title.en, "about_ja": self.about.ja, "about_en": self.about.en}
        return {"key": self.key} | words | {"figures": [f.to_json() for f in self.figures]}


def plain(value: object) -> str:
    """Text of the ledger as every file can hold it: a body that was tampered with may hold half a character."""
    return str("" if value is None else value).encode("utf-8", "replace").decode()


def counted(key: str, label: Words, seqs: Iterable[int], note: str = "") -> Figure:
    """A figure that is the number of entries it names."""
    entries = tuple(seqs)
    return Figure(key, label, len(entries), entries, note=note)


def compressed(seqs: Sequence[int]) -> str:
    """1, 2, 3, 7 -> "1-3,7". Raises ValueError unless they rise."""
    if any(a >= b for a, b in pairwise(seqs)):
        raise ValueError("entries out of order")
    parts, begin = [], 0
    for i in range(1, len(seqs) + 1):
        if i == len(seqs) or seqs[i] != seqs[i - 1] + 1:
            parts.append(str(seqs[begin]) if i - begin == 1 else f"{seqs[begin]}-{seqs[i - 1]}")
            begin = i
    return ",".join(parts)
