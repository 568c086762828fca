"""Romaji Japanese as hiragana, by a table of our own: Hepburn and Kunrei, macrons, double consonants."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ROWS = (
    "- あいうえお k かきくけこ s さしすせそ t たちつてと n なにぬねの h はひふへほ m まみむめも r らりるれろ "
    "g がぎぐげご z ざじずぜぞ d だぢづでど b ばびぶべぼ p ぱぴぷぺぽ"
)
_GLIDES = "k き s し t ち n に h ひ m み r り g ぎ z じ b び p ぴ"
_PALATALS = "sh し ch ち j じ"
_OTHERS = (
    "ya や yu ゆ yo よ wa わ wo を shi し chi ち tsu つ fu ふ ji じ dzu づ ti ち di でぃ "
    "fa ふぁ fi ふぃ fe ふぇ fo ふぉ"
)
_MINIMUM_LETTERS = 8
_MINIMUM_SHARE = 0.75


def _paired(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _table() -> dict[str, str]:
    """Syllable -> kana."""
    rows = _paired(_ROWS).items()
    table = {consonant.strip("-") + vowel: kana[i] for consonant, kana in rows for i, vowel in enumerate("aiueo")}
    for stem, kana in _paired(_GLIDES).items():
        table |= {f"{stem}y{vowel}": kana + small for vowel, small in zip("auo", "ゃゅょ", strict=True)}
    for stem, kana in _paired(_PALATALS).items():
        table |= {stem + vowel: kana + small for vowel, small in zip("aueo", "ゃゅぇょ", strict=True)}
    return table | _paired(_OTHERS)


class _Sounds(dict[str, str]):
    """Part of a word -> kana: syllables, n and m before a consonant, - as a long vowel; any other letter doubles."""

    def __missing__(self, part: str) -> str:
        return "っ"


def _syllables(table: Iterable[str]) -> str:
    """A regex for all syllables: consonants that take the same vowels together, which is quickest to try."""
    vowels: dict[str, str] = {}
    for syllable in sorted(table):
        vowels[syllable[:-1]] = vowels.get(syllable[:-1], "") + syllable[-1]
    groups: dict[str, list[str]] = {}
    for consonants, following in sorted(vowels.items()):
        groups.setdefault(following, []).append(consonants)
    return "|".join(f"{_any_of(starts)}[{following}]" for following, starts in groups.items())


def _any_of(starts: list[str]) -> str:
    letters, others = "".join(s for s in starts if len(s) == 1), [s for s in starts if len(s) > 1]
    return f"(?:{'|'.join([*others, f'[{letters}]'] if letters else others)})" + "?" * ("" in starts)


_KANA = _table()
_SOUNDS = _Sounds(_KANA | {"n": "ん", "n'": "ん", "m": "ん", "-": "ー"})
_SYLLABLE = _syllables(_KANA)
_WORD = re.compile(rf"(?:(?:([kstcpgzdbjmrhfw])(?=\1)|t(?=ch))?(?:{_SYLLABLE})|n'|n(?![aiueoy])|m(?=[bp])|-)+", re.I)
_PART = re.compile(rf"{_SYLLABLE}|n'?|.", re.S)
_MACRON = str.maketrans(_paired("ā aa ī ii ū uu ē ei ō ou â aa î ii û uu ê ei ô ou"))
_LATIN_WORD = re.compile(r"[A-Za-z'-]+")
_GAP = re.compile(r" (?<=[ぁ-ゖー].) *(?=[ぁ-ゖー])")


def romaji_to_hiragana(text: str) -> str:
    """A text that is mostly romaji Japanese, in hiragana without spaces; any other text as it is."""
    letters = sum(map(len, _LATIN_WORD.findall(text)))
    if letters < _MINIMUM_LETTERS or letters * 2 < len(text):
        return text
    plain = text if text.isascii() else text.translate(_MACRON)
    words = _LATIN_WORD.findall(plain)
    japanese = {word for word in words if _WORD.fullmatch(word)}
    if sum(len(word) for word in words if word in japanese) < _MINIMUM_SHARE * sum(map(len, words)):
        return text
    return _GAP.sub("", _LATIN_WORD.sub(lambda m: _speak(m[0]) if m[0] in japanese else m[0], plain))


def _speak(word: str) -> str:
    return "".join(map(_SOUNDS.__getitem__, _PART.findall(word.lower())))
