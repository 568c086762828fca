"""Whether a sentence a model wrote says nothing that its source lacks.

Three checks of form, none of meaning: every number, name-like word and date of the sentence stands in the source; most
of its neighbouring characters do; it does not deny what the source affirms by a negation of its own. A sentence that
passes may still be wrong (who did what to whom); that is why its lines stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from so8t.core.text import nfkc, ngrams

SUPPORT = 0.55  # least share of a sentence's pairs of characters that its source holds
# Digits and numerals in kanji, katakana and Latin words: what names and amounts are made of. Kanji words by pairs.
_HARD = re.compile(r"[0-9][0-9.,]*|[〇一二三四五六七八九十百千万億]+|[ァ-ヴー]{2,}|[a-z][a-z0-9_-]+")
_KANJI = re.compile(r"[一-龥々]{2,}")
_NOT = re.compile(
    r"ない|なし|ません|せず|ぬ|見送|やめ|中止|取り消|取りやめ|不要|禁止|却下|反対|止め|だめ|ダメ|無理|撤回"
)
KANJI_SUPPORT = 0.6


def held(sentence: str, source: Sequence[str]) -> bool:
    """`source`: the utterances it is to stand on."""
    plain, whole = _plain(sentence), _plain("\n".join(source))
    if not plain or any(word not in whole for word in _HARD.findall(plain)):
        return False
    if _NOT.search(plain) and not _NOT.search(whole):
        return False
    kanji = [pair for word in _KANJI.findall(plain) for pair in ngrams(word, 2)]
    if kanji and sum(pair in whole for pair in kanji) < KANJI_SUPPORT * len(kanji):
        return False
    pairs = [pair for pair in ngrams("".join(c for c in plain if c.isalnum()), 2)]
    known = set(ngrams("".join(c for c in whole if c.isalnum()), 2))
    return bool(pairs) and sum(pair in known for pair in pairs) >= SUPPORT * len(pairs)


def standing_on(sentence: str, source: Sequence[str], reach: int = 3) -> tuple[int, ...]:
    """Places in `source` of the few neighbouring utterances that hold the sentence; () where none do."""
    pairs = set(ngrams("".join(c for c in _plain(sentence) if c.isalnum()), 2))
    if not pairs:
        return ()
    shares = [len(pairs & set(ngrams("".join(c for c in _plain(one) if c.isalnum()), 2))) for one in source]
    best = max(range(len(source)), key=lambda i: sum(shares[i : i + reach]), default=0)
    window = tuple(i for i in range(best, min(best + reach, len(source))) if shares[i])
    return window if window and held(sentence, [source[i] for i in window]) else ()


def _plain(text: str) -> str:
    return nfkc(text).lower()
