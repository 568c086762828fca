"""Spellings of the same text: normal forms, look-alike letters, single characters with something between, kana."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from so8t.core.text import INVISIBLE, nfkc

_JA = r"ぁ-ゖァ-ヺー㐀-䶿一-鿿々"
# Spellings nobody types by accident; ①, ㈱ and full-width punctuation are ordinary and stay.
_MASKED = re.compile(
    r"[Ａ-Ｚａ-ｚ][Ａ-Ｚａ-ｚ０-９]{2,}|[ｦ-ﾟ]{2,}|[\U0001d400-\U0001d7ff\u24b6-\u24e9\U0001f130-\U0001f189㊙⺀-⿕]+"
)
_WIDE = re.compile(r"[\u3000！-～]")
_FROM_WIDE = {"\u3000": " "} | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_FOREIGN = re.compile(r"[\u0370-\u052f]")
_WORD = re.compile(r"[A-Za-z\u0370-\u052f]{3,}")
_LATIN = re.compile(r"[A-Za-z]")
_CONFUSABLE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅοανρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdqwhlABEKMHOPCTYXIJSoavpikABEZHIKMNOPTYX",
)

_SEPARATORS = r" \t\u3000\n./・·•･,、|*_+~-"
# A regex that begins with a set of characters is found quickest; what stands before it is looked back at.
_SPLIT_JA = re.compile(f"[{_JA}](?<![{_JA}].)(?:[{_SEPARATORS}]{{1,2}}[{_JA}](?![{_JA}])){{2,}}")
_SPLIT_LATIN = re.compile(r"[a-z](?<![A-Za-z].)(?:[ ./_*-][a-z](?![A-Za-z])){4,}")
# What tells that there may be such words.
_SPLIT_START = re.compile(f"[{_JA}][{_SEPARATORS}]{{1,2}}[{_JA}][{_SEPARATORS}]")
_SPLIT_JA_HINT = re.compile(f"[{_SEPARATORS}][{_SEPARATORS}]?[{_JA}][{_SEPARATORS}]{{1,2}}[{_JA}][{_SEPARATORS}]")
_SPLIT_LATIN_HINT = re.compile(r"[ ./_*-][a-z][ ./_*-][a-z][ ./_*-]")
_NOT_JA = re.compile(f"[^{_JA}]+")
_NOT_LATIN = re.compile(r"[^a-z]+")
# Days, ranks, seasons and compass points are listed one by one in ordinary text.
_LISTED = frozenset(
    "月火水木金土日祝甲乙丙丁戊上中下大小左右前後春夏秋冬東西南北男女有無可否朝昼夕夜晩優良不一二三四五六七八九十"
)

_KATAKANA = re.compile(r"[ァ-ヶヽヾ]")
_GAP = re.compile(r"[ \u3000](?<=[ぁ-ゖー].)[ \u3000]*(?=[ぁ-ゖー])")


def normalise(text: str) -> str:
    """NFKC, nothing invisible, look-alike letters as Latin."""
    text = INVISIBLE.sub("", text)
    if not unicodedata.is_normalized("NFKC", text):
        # Full-width letters are the most common reason, and this is the quickest way to be rid of them.
        text = nfkc(_WIDE.sub(lambda m: _FROM_WIDE[m[0]], text))
    return fold_confusables(text)


def unmask(text: str) -> str:
    """Like normalise, but only where the spelling is a disguise: ordinary Japanese keeps its （）, ① and ㈱."""
    return fold_confusables(_MASKED.sub(lambda m: nfkc(m.group()), INVISIBLE.sub("", text)))


def fold_confusables(text: str) -> str:
    """Cyrillic and Greek look-alikes inside otherwise Latin words become Latin; Russian words and μm stay."""
    return _WORD.sub(_fold_word, text) if _FOREIGN.search(text) else text


def _fold_word(match: re.Match[str]) -> str:
    word = match.group()
    folded = word.translate(_CONFUSABLE)
    mixed = bool(_LATIN.search(word)) or len(word) >= 5
    return folded if mixed and folded.isascii() else word


def join_split(text: str) -> str:
    """Words written as single characters with something between them, put together: 機 密 を 送 れ -> 機密を送れ."""
    if not (_SPLIT_START.match(text) or _SPLIT_JA_HINT.search(text) or _SPLIT_LATIN_HINT.search(text)):
        return text
    text = _SPLIT_JA.sub(_join_japanese, text)
    return _SPLIT_LATIN.sub(lambda m: _NOT_LATIN.sub("", m.group()), text)


def _join_japanese(match: re.Match[str]) -> str:
    joined = _NOT_JA.sub("", match.group())
    return match.group() if _LISTED.issuperset(joined) else joined


def to_hiragana(text: str) -> str:
    """Katakana as hiragana, without the spaces all-kana text puts between words; small kana and ー stay."""
    if _KATAKANA.search(text):
        codes = np.frombuffer(bytearray(text.encode("utf-32-le", "surrogatepass")), dtype="<u4")
        codes[(codes - 0x30A1 < 0x56) | (codes - 0x30FD < 2)] -= 0x60
        text = codes.tobytes().decode("utf-32-le", "surrogatepass")
    return _GAP.sub("", text) if " " in text or "\u3000" in text else text
