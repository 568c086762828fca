"""Undo what conversions did to a text: normal form, stray characters, mojibake that can be turned back, boilerplate."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import CONTROL, INVISIBLE, clean
from so8t.decide.codes import GAP, UNITS, encode

MISREAD_KANJI = "縺繧繝譁蜿"  # UTF-8 read as CP932 is full of them
_HALF_KANA = re.compile(r"[\uff61-\uff9f]+")
_SPACES = re.compile(r"[ \t\xa0\u2000-\u200a]{2,}|\xa0")
_BLANKS = re.compile(r"\n\s*\n\s*")
_MISREAD = re.compile(rf"[{MISREAD_KANJI}][^\u3041-\u3096]|[ãåæçèé][\x80-\xbf\u0152-\u2122]|[､･]｢|､[ｦ-ﾟ]")
_KANA = re.compile(r"[\u3041-\u30fe]")
_ROUTES = (("cp932", "utf-8"), ("cp1252", "utf-8"), ("latin-1", "utf-8"), ("cp932", "euc_jp"), ("latin-1", "cp932"))
_SUSPECT = re.compile(
    f"{CONTROL.pattern}|{INVISIBLE.pattern}|[\r \t{MISREAD_KANJI}\uff61-\uff9f\u2000-\u200a\u0080-\u00ff]"
)
_ENDS, _CLOSING = ("。", "！", "？", "\n"), tuple("」』）)。！？\n")
AT_ONCE = 400  # texts whose arrays fit into a processor's cache
_SUSPICIOUS = 0.05  # of a text's characters are part of misread pairs
BOILERPLATE_LINE = 120  # characters; longer lines are paragraphs
BOILERPLATE_SHARE, BOILERPLATE_LEAST = 0.02, 8  # of the texts read together carry it, and at least so many


def repaired(texts: Sequence[str]) -> list[str]:
    """`repair` of every text; most need none, and a table over all of them finds those that may."""
    result = [text.replace("\0", "") if "\0" in text else text for text in texts]
    for first in range(0, len(result), AT_ONCE):
        some = encode(result[first : first + AT_ONCE])
        for i in some.holding(_suspects()).tolist():
            result[first + i] = repair(result[first + i])
    return [text.strip() for text in result]


@cache
def _suspects() -> NDArray[np.bool_]:
    """[UNITS] True for what `repair` might change, alone or doubled."""
    characters = [chr(code) for code in range(UNITS)]
    table = np.array([bool(_SUSPECT.match(c)) or not _stable(c) for c in characters])
    table[GAP] = False
    return table


def _stable(character: str) -> bool:
    """Its own normal form C wherever it stands: no mark or jamo that joins what is before it."""
    return unicodedata.is_normalized("NFC", character) and unicodedata.is_normalized("NFC", "か" + character + "か")


def repair(text: str) -> str:
    """The text as its author meant it: NFC, no control or invisible characters, kana in full width, spaces single."""
    if not text.isascii() and len(_MISREAD.findall(text)) > _SUSPICIOUS * len(text):
        text = turned_back(text)
    text = INVISIBLE.sub("", clean(text))
    text = _HALF_KANA.sub(lambda m: unicodedata.normalize("NFKC", m.group()), text)
    return _BLANKS.sub("\n\n", _SPACES.sub(" ", text))


def turned_back(text: str) -> str:
    """Text that was decoded as the wrong encoding, decoded as the right one, where no byte was lost on the way."""
    best = text
    for wrong, right in _ROUTES:
        try:
            candidate = text.encode(wrong).decode(right)
        except (UnicodeEncodeError, UnicodeDecodeError):
            continue
        if len(_KANA.findall(candidate)) > len(_KANA.findall(best)) and not CONTROL.search(candidate):
            best = candidate
    return best


def without_boilerplate(texts: Sequence[str]) -> tuple[list[str], int]:
    """The texts without the short lines that many of them carry (menus, footers), and how many lines that were."""
    limit = max(BOILERPLATE_LEAST, BOILERPLATE_SHARE * len(texts))
    if len(texts) < limit:
        return list(texts), 0
    seen: Counter[str] = Counter()
    for text in texts:
        if "\n" in text:
            seen.update({line for line in text.split("\n") if len(line) <= BOILERPLATE_LINE})
    common = {line for line, count in seen.items() if count >= limit and line.strip()}
    if not common:
        return list(texts), 0
    removed = 0
    result = []
    for text in texts:
        lines = text.split("\n")
        kept = [line for line in lines if line not in common]
        removed += len(lines) - len(kept)
        result.append(text if len(kept) == len(lines) else "\n".join(kept).strip())
    return result, removed


def split_long(text: str, longest: int) -> list[str]:
    """Pieces of at most `longest` characters of about equal length, cut behind a sentence where one ends in reach."""
    pieces = []
    while len(text) > longest:
        place = _cut_place(text, round(len(text) / -(-len(text) // longest)), longest)
        pieces.append(text[:place].strip())
        text = text[place:]
    return [piece for piece in (*pieces, text.strip()) if piece]


def _cut_place(text: str, target: int, longest: int) -> int:
    """Behind the sentence end nearest to `target`; `target` itself where none is between half of it and longest."""
    before = max(text.rfind(end, target // 2, target) for end in _ENDS) + 1
    found = [place + 1 for end in _ENDS if (place := text.find(end, target, longest - 2)) >= 0]
    after = min(found, default=0)
    best = min((p for p in (before, after) if p), key=lambda p: abs(p - target), default=target)
    while best < longest and text[best : best + 1] in _CLOSING:
        best += 1
    return best
