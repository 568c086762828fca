"""How near a Japanese text is to the one expected. Everything counts characters: Japanese has no spaces to split at.

None of the project's dependencies measures these; each is the formula of its paper, over characters instead of words.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import INVISIBLE, nfkc, ngrams

Floats = NDArray[np.float64]
ORDER = 4  # longest n-gram of BLEU
_BETWEEN_DIGITS = frozenset(".-/:~〜–−")  # part of a number, a date, a time or a range
_KEPT = frozenset("%‰°")


def normalise(text: str) -> str:
    """NFKC, lower case, without white space, invisible characters and punctuation.

    What is part of a number stays, and two numbers stay two: 1,000 is 1000, but "1. 5" is not 15.
    """
    text = nfkc(INVISIBLE.sub("", text)).lower()
    kept: list[str] = []
    dropped = ""
    for i, c in enumerate(text):
        if not _is_kept(text, i):
            dropped += c
            continue
        if dropped not in ("", ",") and c.isdigit() and kept and kept[-1].isdigit():
            kept.append(" ")
        kept.append(c)
        dropped = ""
    return nfkc("".join(kept))


def _is_kept(text: str, i: int) -> bool:
    c = text[i]
    if c.isspace() or unicodedata.category(c) == "Cc":
        return False
    inside = c in _BETWEEN_DIGITS and text[i - 1 : i].isdigit() and text[i + 1 : i + 2].isdigit()
    return inside or c in _KEPT or not unicodedata.category(c).startswith("P")


def exact(reply: str, answers: Iterable[str]) -> float:
    """1 if the reply is one of the answers, to the character (plan 7.3: prediction == ground_truth)."""
    return float(any(reply.strip() == a.strip() for a in answers))


def normalised(reply: str, answers: Iterable[str]) -> float:
    """1 if the reply is one of the answers in normal form."""
    found = normalise(reply)
    return float(any(found == normalise(a) for a in answers))


def contains(reply: str, answers: Iterable[str]) -> float:
    """1 if one of the answers stands in the reply in normal form; 5 does not stand in 15, nor LAN in WLAN."""
    text = normalise(reply)
    return float(any(_stands_in(normalise(a), text) for a in answers))


def _stands_in(answer: str, text: str) -> bool:
    at = text.find(answer) if answer else -1
    while at >= 0:
        end = at + len(answer)
        if not (_goes_on(text[max(0, at - 2) : at][::-1], answer[0]) or _goes_on(text[end : end + 2], answer[-1])):
            return True
        at = text.find(answer, at + 1)
    return False


def _goes_on(next_two: str, edge: str) -> bool:
    """Whether what lies beside the edge of an answer belongs to the same number or the same Latin word."""
    beside = next_two[:1]
    if edge.isdigit():
        return beside.isdigit() or (beside in _BETWEEN_DIGITS and next_two[1:].isdigit())
    return edge.isascii() and edge.isalpha() and beside.isascii() and beside.isalpha()


def char_f1(reply: str, answers: Iterable[str]) -> float:
    """Harmonic mean of precision and recall over characters in normal form, best answer (SQuAD's F1 by characters)."""
    found = normalise(reply)
    return max((_f1(Counter(found), Counter(normalise(a))) for a in answers), default=0.0)


def rouge_n(reply: str, reference: str, n: int) -> float:
    """F1 over character n-grams (Lin 2004)."""
    return _f1(Counter(ngrams(normalise(reply), n)), Counter(ngrams(normalise(reference), n)))


def rouge_l(reply: str, reference: str) -> float:
    """F1 over the longest common subsequence of characters (Lin 2004, beta = 1)."""
    found, wanted = normalise(reply), normalise(reference)
    return _harmonic(common_subsequence(found, wanted), len(found), len(wanted))


def common_subsequence(a: str, b: str) -> int:
    """Length of the longest common subsequence, with one bit a character of `a` (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, c in enumerate(a):
        places[c] = places.get(c, 0) | 1 << i
    every = (1 << len(a)) - 1
    row = every
    for c in b:
        hit = row & places.get(c, 0)
        row = ((row + hit) | (row - hit)) & every
    return len(a) - row.bit_count()


def bleu(replies: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 over characters, 0 .. 1 (Papineni et al. 2002); an order without a match counts half of the one
    before (the "exp" smoothing of mteval), else one summary without a common 4-gram would make all of it zero."""
    hits, counts = np.zeros(ORDER), np.zeros(ORDER)
    length, wanted_length = 0, 0
    for reply, reference in zip(replies, references, strict=True):
        found, wanted = normalise(reply), normalise(reference)
        length, wanted_length = length + len(found), wanted_length + len(wanted)
        for n in range(1, ORDER + 1):
            own = Counter(ngrams(found, n))
            hits[n - 1] += (own & Counter(ngrams(wanted, n))).total()
            counts[n - 1] += own.total()
    if not hits[0] or not counts.all():
        return 0.0
    brevity = min(1.0, float(np.exp(1 - wanted_length / length)))
    return brevity * float(np.exp(np.log(_smoothed(hits, counts)).mean()))


def _smoothed(hits: Floats, counts: Floats) -> Floats:
    precisions, share = [], 1.0
    for hit, count in zip(hits, counts, strict=True):
        share = share if hit else share / 2
        precisions.append(hit / count if hit else share / count)
    return np.array(precisions)


def _f1(found: Counter[str], wanted: Counter[str]) -> float:
    return _harmonic((found & wanted).total(), found.total(), wanted.total())


def _harmonic(common: int, found: int, wanted: int) -> float:
    """2 x common / (found + wanted) = harmonic mean of precision and recall; 0 where either is empty."""
    return 2 * common / (found + wanted) if found and wanted else 0.0
