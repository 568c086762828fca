"""Fluent text nobody should learn from: notices, advertisements, menus, machine output, keyword stuffing.

It gives itself away by how many different turns of phrase of its kind it has for its length. A cheap hashed count over
all texts finds those worth a look; only they are searched word by word.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.decide.codes import encode_folded
from so8t.decide.linear import BUCKETS, LONGEST, Floats, Grams, grams, scores

LIMIT = 0.22  # different phrases / square root of the length in characters; prose stays below 0.16
LEAST = 3  # phrases that a text must have
SUSPECT = 1.5 * LIMIT  # of the hashed count, which also counts what only looks alike
STUFFED = 0.2  # of a text is one word
REPEATS = 0.1  # of 5-grams stand twice in a text that is worth counting words in
_SHORTEST = 80  # characters; a shorter text is judged as if it had so many
_WORD = re.compile(r"[ァ-ヴー]{3,}|[一-鿿々]{2,}")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The turns of phrase of one kind of junk."""

    ja: str
    en: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Junk:
    """What a text looks like, and the figure that says so."""

    ja: str
    en: str
    value: float


def junk(texts: Sequence[str], looked_at: Grams, repeated: NDArray[np.float64]) -> dict[int, Junk]:
    """Number of a text -> what it looks like, of those that look like junk."""
    hinted = scores(looked_at, _hints(), np.zeros(1, np.float32))[:, 0]
    found: dict[int, Junk] = {}
    for suspects, examine in ((hinted > SUSPECT, phrases_of), (repeated > REPEATS, stuffing_of)):
        for i in np.flatnonzero(suspects).tolist():
            if i not in found and (what := examine(texts[i])):
                found[i] = what
    return found


def phrases_of(text: str) -> Junk | None:
    """By the different phrases of all kinds in its beginning, named after the kind that has the most."""
    text = text[:LONGEST]
    counts = [sum(word in text for word in kind.words) for kind in kinds()]
    value = sum(counts) / max(len(text), _SHORTEST) ** 0.5
    if sum(counts) < LEAST or value < LIMIT:
        return None
    kind = kinds()[counts.index(max(counts))]
    return Junk(f"{kind.ja}らしい", f"looks like {kind.en}", round(value, 2))


def stuffing_of(text: str) -> Junk | None:
    """One word makes up too much of the text."""
    counts = Counter(_WORD.findall(text))
    if not counts:
        return None
    word, times = max(counts.items(), key=lambda pair: pair[1] * len(pair[0]))
    share = times * len(word) / len(text)
    if times < LEAST or share < STUFFED:
        return None
    return Junk("一つの語の詰め込み", "keyword stuffing", round(share, 2))


@cache
def kinds() -> tuple[Phrases, ...]:
    values = tomllib.loads(packaged("quality", "markers.toml").read_text(encoding="utf-8"))
    return tuple(Phrases(kind["ja"], kind["en"], tuple(kind["words"])) for kind in values.values())


@cache
def _hints() -> Floats:
    """[1, BUCKETS] 1 for one pair of characters of every phrase, the one that prose has least; `scores` then is about
    the number of phrases / sqrt(2 length)."""
    paragraphs = [r["text"] for path in sorted(packaged("corpus").glob("*.jsonl")) for _, r in read_jsonl(path)]
    common = np.bincount(grams(encode_folded(paragraphs), LONGEST).pair, minlength=BUCKETS + 1)
    words = [word for kind in kinds() for word in kind.words]
    found = grams(encode_folded(words), LONGEST)
    weight = np.zeros((1, BUCKETS + 1), np.float32)
    for start, end in pairwise([*found.starts.tolist(), len(found.pair)]):
        pairs = found.pair[start:end][found.pair[start:end] < BUCKETS]
        if len(pairs):
            weight[0, pairs[common[pairs].argmin()]] = 2**0.5
        else:  # a phrase of one character
            weight[0, found.single[start]] = 2**0.5
    return weight[:, :BUCKETS]
