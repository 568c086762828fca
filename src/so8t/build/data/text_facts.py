"""Countable facts of many texts at once: characters by class, repetition, flow. What quality is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.build.data.flow import surprise
from so8t.build.data.signatures import Shingles
from so8t.decide.codes import UNITS, Codes

Numbers = NDArray[np.float64]
SAMPLED = 8  # of the 5-grams every eighth, by hash, is counted


class Kind(IntEnum):
    """Classes of characters."""

    GAP = 0
    HIRAGANA = 1
    KATAKANA = 2
    KANJI = 3
    LATIN = 4
    DIGIT = 5
    STOP = 6
    COMMA = 7
    BRACKET = 8
    SPACE = 9
    NEWLINE = 10
    MARK = 11
    HALF_KANA = 12
    BROKEN = 13
    HANGUL = 14
    OTHER = 15


KINDS = len(Kind)
# Kanji that UTF-8 read as CP932 is full of, and prose hardly ever.
_MISREAD = "縺繧繝譁蜿莉縲螟邱謨ｽ"


@cache
def kind_table() -> NDArray[np.uint8]:
    """[UNITS] class of every code unit."""
    table = np.full(UNITS, Kind.OTHER, np.uint8)
    table[0] = Kind.GAP
    for start, end, kind in (
        (0x3041, 0x30A0, Kind.HIRAGANA), (0x30A0, 0x3100, Kind.KATAKANA), (0x31F0, 0x3200, Kind.KATAKANA),
        (0x3400, 0xA000, Kind.KANJI), (0xF900, 0xFB00, Kind.KANJI), (0x41, 0x5B, Kind.LATIN), (0x61, 0x7B, Kind.LATIN),
        (0xC0, 0x250, Kind.LATIN), (0xFF21, 0xFF3B, Kind.LATIN), (0xFF41, 0xFF5B, Kind.LATIN), (0x30, 0x3A, Kind.DIGIT),
        (0xFF10, 0xFF1A, Kind.DIGIT), (0xFF61, 0xFFA0, Kind.HALF_KANA), (0x80, 0xA0, Kind.BROKEN),
        (0xE000, 0xF900, Kind.BROKEN), (0xFFF0, 0x10000, Kind.BROKEN), (0xAC00, 0xD7B0, Kind.HANGUL),
        (0x2500, 0x27C0, Kind.MARK), (0x2190, 0x2200, Kind.MARK),
    ):  # fmt: skip
        table[start:end] = kind
    for characters, kind in (
        ("。！？!?．", Kind.STOP), ("、，,", Kind.COMMA), ("「」『』（）()【】［］[]〔〕<>＜＞《》\"'“”", Kind.BRACKET),
        (" \t\u3000\xa0", Kind.SPACE), ("\n", Kind.NEWLINE), ("|/\\>＞»›・●*#=+~_^※→：:;", Kind.MARK),
        (_MISREAD, Kind.BROKEN), ("々〆ヶ", Kind.KANJI),
    ):  # fmt: skip
        for character in characters:
            table[ord(character)] = kind
    return table


@dataclass(frozen=True, slots=True)
class Facts:
    """[texts] each. counts [texts, KINDS]; repeated = share of 5-grams that stood in the text before."""

    length: Numbers
    counts: Numbers
    surprise: Numbers
    repeated: Numbers

    def share(self, *kinds: Kind) -> Numbers:
        """Of all characters but spaces and line ends."""
        solid = self.length - self.counts[:, Kind.SPACE] - self.counts[:, Kind.NEWLINE]
        found: Numbers = self.counts[:, kinds].sum(-1) / np.maximum(solid, 1)
        return found

    def per(self, kind: Kind, other: Kind) -> Numbers:
        found: Numbers = self.counts[:, kind] / np.maximum(self.counts[:, other], 1)
        return found


def facts(raw: Codes, hashed: Shingles) -> Facts:
    """`raw` and `hashed` are the same texts."""
    kinds = kind_table()[raw.units]
    owners = raw.owners().astype(np.int64)
    counts = np.bincount(owners * KINDS + kinds, minlength=len(raw) * KINDS).reshape(len(raw), KINDS)
    return Facts(raw.lengths.astype(np.float64), counts.astype(np.float64), surprise(raw), _repeated(hashed))


def _repeated(hashed: Shingles) -> Numbers:
    chosen = np.flatnonzero(hashed.hashes & np.uint32(SAMPLED - 1) == 0)
    texts = len(hashed.offsets) - 1
    owners = np.searchsorted(hashed.offsets, chosen, "right") - 1
    keys = np.sort((owners.astype(np.uint64) << np.uint64(32)) | hashed.hashes[chosen])
    again = np.zeros(len(keys), np.bool_)
    again[1:] = keys[1:] == keys[:-1]
    repeats = np.bincount((keys[again] >> np.uint64(32)).astype(np.int64), minlength=texts)
    found: Numbers = repeats / np.maximum(np.bincount(owners, minlength=texts), 1)
    return found
