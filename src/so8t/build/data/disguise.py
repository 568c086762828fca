"""Spellings that hide what a request says from a reader of characters; each can be undone (LABELS.md)."""

from __future__ import annotations

import base64
import random
import unicodedata

from so8t.core.text import INVISIBLE

ZERO_WIDTH = "\u200b\u200c\u200d\u2060"
_WIDE = {code: code + 0xFEE0 for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))}
_HALF = {ord(unicodedata.normalize("NFKC", chr(code))): chr(code) for code in range(0xFF66, 0xFF9E)}
_MARKS = {"\u3099": "ﾞ", "\u309a": "ﾟ"}
_ROWS = {
    "": "あいうえお", "k": "かきくけこ", "s": "さしすせそ", "t": "たちつてと", "n": "なにぬねの", "h": "はひふへほ",
    "m": "まみむめも", "r": "らりるれろ", "g": "がぎぐげご", "z": "ざじずぜぞ", "d": "だぢづでど", "b": "ばびぶべぼ",
    "p": "ぱぴぷぺぽ",
}  # fmt: skip
_ROMAN = {kana: c + v for c, row in _ROWS.items() for kana, v in zip(row, "aiueo", strict=True)}
_ROMAN |= {"や": "ya", "ゆ": "yu", "よ": "yo", "わ": "wa", "を": "wo", "ん": "n", "ー": "-", "。": ".", "、": ","}
_SMALL = {"ゃ": "ya", "ゅ": "yu", "ょ": "yo"}


def fullwidth(text: str) -> str:
    """Full-width letters and digits, half-width katakana; NFKC gives the text back."""
    return "".join(_narrow(c) for c in text).translate(_WIDE)


def _narrow(character: str) -> str:
    if not "ァ" <= character <= "ー":
        return character
    base, *marks = list(unicodedata.normalize("NFD", character))
    half = _HALF.get(ord(base))
    return character if half is None else half + "".join(_MARKS[m] for m in marks)


def zero_width(text: str, rng: random.Random) -> str:
    """Invisible characters between about a third of the letters, at least one."""
    pieces = [c + (rng.choice(ZERO_WIDTH) if rng.random() < 0.3 else "") for c in text]
    joined = "".join(pieces)
    return joined if INVISIBLE.search(joined) else text[:1] + ZERO_WIDTH[0] + text[1:]


def encode(text: str) -> str:
    """Base64 of the UTF-8 text."""
    return base64.b64encode(text.encode()).decode()


def katakana(text: str) -> str:
    return "".join(chr(ord(c) + 0x60) if "ぁ" <= c <= "ゖ" else c for c in text)


def romaji(text: str) -> str:
    """Kana as typed on a keyboard (wo, ha, si, syo); other characters stay."""
    out: list[str] = []
    double = False
    for c in text:
        if c == "っ":
            double = True
            continue
        if c in _SMALL:
            out[-1] = out[-1][:-1] + _SMALL[c]
            continue
        roman = _ROMAN.get(c, c)
        out.append(roman[0] + roman if double else roman)
        double = False
    return "".join(out)
