"""Many texts as one array of UTF-16 code units, so that NumPy can look at all of them at once.

Counting characters or hashing n-grams one text at a time costs more in calls than in work; a thousand texts in one
array cost a microsecond a text and pass (benchmarks/data_speed.py).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import INVISIBLE, dedup_key, nfkc

Units = NDArray[np.uint16]
Offsets = NDArray[np.int64]
UNITS = 1 << 16
_DROPPED, _SPECIAL = 0xFFFF, 0xFFFE  # no characters, so nothing folds to them
GAP = 0  # ends every text; clean() takes U+0000 out of texts


@dataclass(frozen=True, slots=True)
class Codes:
    """`units` [total] of all texts, each followed by GAP; text i is units[starts[i]:ends[i]]."""

    units: Units
    starts: Offsets
    ends: Offsets

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Offsets:
        """UTF-16 code units of each text."""
        return self.ends - self.starts

    def owners(self) -> NDArray[np.int32]:
        """[total] number of the text that each unit, its GAP included, belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.ends + 1 - self.starts)

    def holding(self, table: NDArray[np.bool_]) -> Offsets:
        """Numbers of the texts with a unit that `table` [UNITS] marks."""
        return np.unique(np.searchsorted(self.ends, np.flatnonzero(table[self.units])))


def encode(texts: Sequence[str]) -> Codes:
    """Characters beyond the basic plane are two units. Texts must not hold U+0000."""
    joined = "".join(text + "\0" for text in texts)
    return _codes(np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), dtype="<u2"), len(texts))


def encode_folded(texts: Sequence[str], raw: Codes | None = None) -> Codes:
    """The same of every text's dedup_key, by table where its characters allow it; `raw` = encode(texts) if at hand."""
    raw = encode(texts) if raw is None else raw
    folded = _fold_table()[raw.units]
    if len(odd := np.unique(np.searchsorted(raw.ends, np.flatnonzero(folded == _SPECIAL)))):
        changed = list(texts)
        for i in odd.tolist():
            changed[i] = dedup_key(texts[i])
        units = encode(changed).units
        folded = _fold_table()[units]
        folded = np.where(folded == _SPECIAL, units, folded)
    return _codes(folded[folded != _DROPPED], len(texts))


def _codes(units: Units, count: int) -> Codes:
    ends = np.flatnonzero(units == GAP)
    if len(ends) != count:
        raise ValueError(f"{len(ends)} gaps for {count} texts: U+0000 inside a text")
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1] + 1
    return Codes(units, starts, ends)


@cache
def _fold_table() -> Units:
    """What dedup_key makes of each unit: another, _DROPPED, or _SPECIAL where it takes the neighbours to tell."""
    fold = np.arange(UNITS, dtype=np.uint16)
    for code in range(1, UNITS):
        character = chr(code)
        if 0xD800 <= code < 0xE000:  # half of a character of another plane
            fold[code] = _SPECIAL
        elif (
            character.isspace() or INVISIBLE.match(character) or INVISIBLE.fullmatch(folded := nfkc(character).lower())
        ):
            fold[code] = _DROPPED
        elif len(folded) != 1 or ord(folded) >= UNITS or _composes(character):
            fold[code] = _SPECIAL
        else:
            fold[code] = ord(folded)
    return fold


def _composes(character: str) -> bool:
    """Joins the character before it in normal form C: marks and the half-width (han)dakuten."""
    return unicodedata.combining(nfkc(character)[0]) != 0 or "\u1100" <= character <= "\u11ff"
