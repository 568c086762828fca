"""Whether a sentence a model wrote says nothing that its source lacks.

Checks of form, none of meaning: every number and name-like word of the sentence stands in the source, most of its
neighbouring characters do, and it denies nothing where the source holds no denial. A sentence that passes may still be
wrong (who did what to whom); that is why its source is always shown beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from so8t.core.text import nfkc, ngrams

SUPPORT = 0.55  # least share of a sentence's pairs of characters that its source holds
KANJI_SUPPORT = 0.6  # of the pairs within its kanji words, which carry the meaning
# What names are made of besides kanji: katakana and Latin words.
_NAME = re.compile(r"[ァ-ヴー]{2,}|[a-z][a-z0-9_-]+")
# At most so many digits are one number; whatever a text is made of, reading it takes as long as it is.
_NUMBER = re.compile(r"[0-9]{1,20}(?:[.,][0-9]{1,20}){1,6}|[0-9〇一二三四五六七八九十百千万億]{1,20}")
_KANJI = re.compile(r"[一-龥々]{2,}")
_NOT = re.compile(
    r"ない|なし|ません|せず|ぬ|見送|やめ|中止|取り消|取りやめ|不要|禁止|却下|反対|止め|だめ|ダメ|無理|撤回"
)
_DIGITS = {c: n for row in ("〇一二三四五六七八九", "0123456789") for n, c in enumerate(row)}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_GREAT = {"万": 10_000, "億": 100_000_000}


def held(sentence: str, source: Sequence[str]) -> bool:
    """`source`: the passages it is to stand on."""
    plain, whole = _plain(sentence), _plain("\n".join(source))
    if not pairs(plain) or unheard(sentence, source):
        return False
    if _NOT.search(plain) and not _NOT.search(whole):
        return False
    kanji = [pair for word in _KANJI.findall(plain) for pair in ngrams(word, 2)]
    if kanji and sum(pair in whole for pair in kanji) < KANJI_SUPPORT * len(kanji):
        return False
    return share(plain, whole) >= SUPPORT


def unheard(text: str, source: Sequence[str]) -> list[str]:
    """Numbers, katakana and Latin words of a text that no part of its source holds; 十五 is 15."""
    plain, whole = _plain(text), _plain("\n".join(source))
    known = set(_NUMBER.findall(whole))
    return [number for number in _NUMBER.findall(plain) if number not in known] + [
        word for word in _NAME.findall(plain) if word not in whole
    ]


def value(numeral: str) -> int:
    """三百二十 -> 320, 二〇二六 -> 2026, 1億6千 -> 100006000"""
    if all(c in _DIGITS for c in numeral):
        return int("".join(str(_DIGITS[c]) for c in numeral))
    total, part, digit = 0, 0, 0
    for c in numeral:
        if c in _DIGITS:
            digit = 10 * digit + _DIGITS[c]
        elif c in _UNITS:
            part, digit = part + (digit or 1) * _UNITS[c], 0
        else:
            total, part, digit = total + (part + digit or 1) * _GREAT[c], 0, 0
    return total + part + digit


def standing_on(sentence: str, source: Sequence[str], reach: int = 3) -> tuple[int, ...]:
    """Places in `source` of the few neighbouring passages that hold the sentence; () where none do."""
    own = set(pairs(sentence))
    shares = [len(own & set(pairs(one))) for one in source]
    if not own or not any(shares):
        return ()
    best = max(range(len(source)), key=lambda i: sum(shares[i : i + reach]), default=0)
    window = tuple(i for i in range(best, min(best + reach, len(source))) if shares[i])
    return window if window and held(sentence, [source[i] for i in window]) else ()


def _plain(text: str) -> str:
    """In one spelling; numbers as digits, whether they were in figures, in kanji numerals or in both (1億6千)."""
    return _NUMBER.sub(lambda m: _digits(m[0].replace(",", "")), nfkc(text).lower())


def _digits(number: str) -> str:
    return number if "." in number else str(value(number))


def pairs(text: str) -> list[str]:
    """Of neighbouring characters, past punctuation, which a retelling sets as it likes."""
    return ngrams("".join(c for c in _plain(text) if c.isalnum()), 2)


def share(text: str, source: str) -> float:
    """Of a text's different pairs of characters, how many its source holds; 1 for a text without any."""
    own = set(pairs(text))
    return len(own & set(pairs(source))) / len(own) if own else 1.0
