"""Japanese full text for SQLite's FTS5: overlapping pairs of characters as words, so any substring is a phrase.

A text "会議録" is kept as "会議 議録 録＄"; a query "議録" is the phrase "議録", one of a single character the
prefix "録*". That finds every occurrence and nothing else: words of a dictionary miss names and new words, and FTS5's
own trigrams find nothing shorter than three characters (benchmarks/search_speed.py).
"""

from __future__ import annotations

import re
import unicodedata

from so8t.core.text import INVISIBLE

END = "\ue0ff"  # follows the last character, so that every character begins a pair
_SPACE = re.compile(r"\s+")
# FTS5's tokenizer "ascii" takes letters, digits and everything beyond ASCII for parts of words: the rest of ASCII moves
# to where it does. U+0000 ends a text for SQLite.
_MOVED = {code: 0xE000 + code for code in range(128) if not chr(code).isalnum()}
_QUOTED = re.compile(r"[\"「“]([^\"」”]+)[\"」”]")
# What carries the meaning of a question: runs of kanji, of katakana, of letters and digits.
_WORD = re.compile(r"[㐀-䶿一-鿿々〆]{2,}|[ァ-ヴー]{2,}|[a-z0-9][a-z0-9._-]+")
MAXIMUM_TERMS = 32
MAXIMUM_TERM = 200  # characters


def normal(text: str) -> str:
    """As it is kept and shown: NFKC, without what nobody sees."""
    return INVISIBLE.sub("", unicodedata.normalize("NFKC", INVISIBLE.sub("", text.replace("\0", ""))))


def matched(text: str) -> str:
    """As it is compared: without spaces, line ends and case."""
    return _SPACE.sub("", normal(text)).lower()


def indexed(text: str) -> str:
    """The pairs of a text's characters, as FTS5 is given them. "" for a text without any."""
    plain = matched(text).translate(_MOVED)
    return " ".join(map(str.__add__, plain, plain[1:] + END)) if plain else ""


def phrase(term: str) -> str:
    """The FTS5 expression that finds a substring; "" for nothing to look for."""
    plain = matched(term).translate(_MOVED)[:MAXIMUM_TERM]
    if len(plain) < 2:
        return f'"{plain}" *' if plain else ""
    return '"' + " ".join(map(str.__add__, plain, plain[1:])) + '"'


def terms(query: str) -> list[str]:
    """What all must occur: quoted parts as they stand, the rest at its spaces."""
    text = normal(query)
    found = [*_QUOTED.findall(text), *_SPACE.split(_QUOTED.sub(" ", text))]
    return [m for term in dict.fromkeys(found) if (m := matched(term))][:MAXIMUM_TERMS]


def words(query: str) -> list[str]:
    """What a question is about, where its own wording occurs nowhere: any of these."""
    return list(dict.fromkeys(_WORD.findall(normal(query).lower())))[:MAXIMUM_TERMS]


def pattern(found: list[str]) -> re.Pattern[str]:
    """Finds the terms in a text as it is shown: spaces and line ends may stand between any two characters."""
    longest = sorted(found, key=len, reverse=True)
    return re.compile("|".join(r"\s*".join(map(re.escape, term)) for term in longest), re.IGNORECASE)
