"""Does a text run like Japanese? A trigram model of its function characters, blind to what it is about.

Hiragana, brackets and the two stops stay; a run of kanji, katakana, letters or digits is one symbol, "a noun"; the rest
is left out. Prose of any field runs alike in this alphabet; shuffled words, word lists, mojibake and Chinese do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.decide.codes import UNITS, Codes, encode

NOUN, COMMA, STOP, OPEN, CLOSE, FIRST_KANA = 1, 2, 3, 4, 5, 6  # 0 = between texts
HIRAGANA = range(0x3041, 0x3097)
SYMBOLS = FIRST_KANA + len(HIRAGANA)
_LEFT_OUT = 255
_NOUNS = (
    (0x3400, 0xA000), (0xF900, 0xFB00), (0x3005, 0x3008), (0x30A1, 0x30FB), (0x30FC, 0x30FD), (0xFF66, 0xFFA0),
    (0x41, 0x5B), (0x61, 0x7B), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B), (0x30, 0x3A), (0xFF10, 0xFF1A),
)  # fmt: skip


@cache
def symbol_table() -> NDArray[np.uint8]:
    """[UNITS] symbol of every code unit."""
    table = np.full(UNITS, _LEFT_OUT, np.uint8)
    table[0] = 0
    for start, end in _NOUNS:
        table[start:end] = NOUN
    for characters, symbol in (("、，", COMMA), ("。．", STOP), ("「『(（", OPEN), ("」』)）", CLOSE)):
        for character in characters:
            table[ord(character)] = symbol
    table[HIRAGANA.start : HIRAGANA.stop] = np.arange(FIRST_KANA, SYMBOLS)
    return table


def trigrams(raw: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(index into a [SYMBOLS^3] table at each symbol, [texts + 1] offsets); the gap of a text is its last symbol."""
    every = symbol_table()[raw.units]
    found = every[every != _LEFT_OUT]
    noun = found == NOUN
    noun[1:] &= noun[:-1].copy()  # a noun behind a noun is the same run
    noun[:1] = False
    here = np.zeros(np.count_nonzero(~noun) + 2, np.int32)
    here[2:] = found[~noun]
    second, last, here = here[:-2].copy(), here[1:-1], here[2:]
    second[last == 0] = 0
    index = (second * np.int32(SYMBOLS) + last) * np.int32(SYMBOLS) + here
    return index.astype(np.int64), np.concatenate([[0], np.flatnonzero(here == 0) + 1])


def surprise(raw: Codes) -> NDArray[np.float64]:
    """[texts] mean surprise of a symbol in nats: prose about 2, shuffled words above 3."""
    if not len(raw):
        return np.zeros(0)
    index, offsets = trigrams(raw)
    return np.add.reduceat(np.take(_table(), index), offsets[:-1]) / np.diff(offsets)


@cache
def _table() -> NDArray[np.float32]:
    """From the paragraphs that ship with the package."""
    texts = [record["text"] for path in sorted(packaged("corpus").glob("*.jsonl")) for _, record in read_jsonl(path)]
    return learn(texts)


def learn(texts: Sequence[str]) -> NDArray[np.float32]:
    """[SYMBOLS^3] surprise of a symbol after two others, with Witten-Bell smoothing (Witten and Bell 1991)."""
    index, _ = trigrams(encode(texts))
    three = np.bincount(index, minlength=SYMBOLS**3).reshape(SYMBOLS, SYMBOLS, SYMBOLS).astype(np.float64)
    two, one = three.sum(0), three.sum((0, 1))
    share = 0.98 * one / one.sum() + 0.02 / SYMBOLS
    for counts in (two, three):
        seen, kinds = counts.sum(-1, keepdims=True), (counts > 0).sum(-1, keepdims=True)
        share = (counts + kinds * share) / np.maximum(seen + kinds, 1) + (seen + kinds == 0) * share
    found: NDArray[np.float32] = (-np.log(share)).astype(np.float32).ravel()
    return found
