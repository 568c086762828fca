"""Facts about Japanese text: normal form, scripts, sentences."""

from __future__ import annotations

import re
import unicodedata

HIRAGANA = re.compile(r"[ぁ-ゟ]")
KATAKANA = re.compile(r"[゠-ヿ㇠-ㇿｦ-ﾟ]")
KANJI = re.compile(r"[㐀-䶿一-鿿豈-﫿々〆]")
JAPANESE = re.compile(r"[ぁ-ヿㇰ-ㇿ㐀-䶿一-鿿豈-﫿々〆ｦ-ﾟ]+")
# Zero-width and bidirectional controls, and two codes that are no characters: invisible to the reader, so never part
# of what was meant.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufffe\uffff\U000e0000-\U000e0fff]"
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SENTENCE = re.compile(r"[^。！？!?\n]*[。！？!?]+[」』）)]*|[^。！？!?\n]+")


def nfkc(text: str) -> str:
    """Unicode normal form KC: full-width letters, half-width kana and composed marks in one spelling."""
    return unicodedata.normalize("NFKC", text)


def clean(text: str) -> str:
    """NFC without control characters and with plain line ends: the text as it was meant, not judged."""
    text = CONTROL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text).strip()


def dedup_key(text: str) -> str:
    """Spelling-insensitive key for exact duplicates (SPEC D4)."""
    return re.sub(r"\s+", "", INVISIBLE.sub("", nfkc(INVISIBLE.sub("", text)))).lower()


def sentences(text: str) -> list[str]:
    """Sentences with their full stops; closing quotes stay with the sentence they close."""
    return [s for s in (m.group().strip() for m in _SENTENCE.finditer(text)) if s]


def japanese_ratio(text: str) -> float:
    """Share of kana and kanji among all characters."""
    return sum(len(run) for run in JAPANESE.findall(text)) / len(text) if text else 0.0


def kana_ratio(text: str) -> float:
    """Share of kana among all characters: near zero for Chinese, low for tables of terms."""
    return (len(HIRAGANA.findall(text)) + len(KATAKANA.findall(text))) / len(text) if text else 0.0


def ngrams(text: str, n: int) -> list[str]:
    return [text[i : i + n] for i in range(len(text) - n + 1)]
