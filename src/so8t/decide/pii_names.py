"""Names of persons, where the words around them say so.

A name is masked before さん, 様, 氏, a job title and the like, after 氏名:, 担当: and the like, in "…と申します", or
where family and given name stand alone in a line, a cell or parentheses. The same words in running prose stay: they may
be a place, a company, or a person of public life of whom an encyclopaedia tells. Lists: resources/pii/names.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from so8t.decide.pii_form import Place
from so8t.decide.pii_lexicon import words

KIND = "氏名"
_SURNAMES = frozenset(words("names", "surnames"))
_ORDINARY = frozenset(words("names", "words"))
_HOUSES = frozenset(words("names", "clans"))
_GIVEN = frozenset(words("names", "given"))
_GIVEN_KANJI = frozenset("".join(words("names", "given_characters")))
_READINGS = frozenset(words("names", "readings"))
_LONGEST = 9  # characters of a family and a given name and the space between
_MOST_LISTED = 50  # names after one label

_K, _KANA = "一-鿿々〆ヶ", "ぁ-んァ-ヴー"
_IS_KANJI = re.compile(rf"[{_K}]+")
_IS_KATAKANA = re.compile(r"[ァ-ヴー]")
_KANA_GIVEN = re.compile(r"[ぁ-ん]{2,4}|[ァ-ヴー]{2,4}")
_BEFORE = "部課係室店院科局班員師故様者兼同氏長社"  # kanji that a family name may follow and not be the end of a word
_PERSONAL = ("さん", "さま", "様", "殿", "君", "くん", "ちゃん", "先生", "と申し")
_TITLES_OF_KINGS = ("王様", "王さま")
_POLITE = (
    *("様(?![々子式相態変])", "殿(?![堂様下方])", "君(?![主臣])", "氏(?![名族神子])", "さま(?!ざ)"),
    *("さん", "くん", "ちゃん", "先生", "と申し"),
)
_TITLES = words("names", "titles")
_LOCAL_TITLES = frozenset(words("names", "local_titles"))
_FIELDS = frozenset(words("names", "fields"))
_SPOKEN = frozenset(words("names", "spoken"))
_ROLE_ENDS = "者医人員士"
_LABELS = sorted({*_FIELDS, *_SPOKEN, *words("names", "roles")}, key=len, reverse=True)
# Alternatives that each begin with a fixed character: re then skips at the speed of a character class.
_MARK = re.compile("|".join([*_POLITE, *(f"{title}(?![会団法室])" for title in _TITLES)]))
_LABEL = re.compile(rf"({'|'.join(_LABELS)})(?:氏名|名)?(?:\([^()\n]{{1,8}}\))?(?:\s?[:=|]\s?|\t|([はの ]))")
_INTRODUCED = re.compile(rf"の(?=([{_K}]{{1,6}})です(?:[。!\n]|$))")
_FIELD = re.compile(
    rf"(?:(?<=[\t|,(「:])|^) {{0,4}}([{_K}]{{1,4}} ?[{_K}{_KANA}]{{1,4}}) {{0,4}}(?=[\t|,)」]|$)",
    re.M,
)
_AFTER = re.compile(r" ?(?:$|[\s、。,)/(・|」】;〔\[<0-9がはにをとの様氏殿]|で|さん|先生)")
_NEXT = re.compile(r" ?[、・,/と] ?")
_READ = re.compile(
    r"[ァ-ヴー]{2,8}[ ・]?[ァ-ヴー]{2,8}|[ぁ-ゔー]{2,8} [ぁ-ゔー]{2,8}|[A-Z][A-Za-z]{1,15} [A-Z][A-Za-z]{1,15}"
)
_SPACED = re.compile(rf"[{_K}]{{1,4}} [{_K}{_KANA}]{{1,4}}")


def _heads() -> Iterator[str]:
    """Without one of these, and without ASCII, no text holds a name that names() would find.

    Of titles and labels it is the last character, as far fewer are last than first.
    """
    ends: dict[tuple[str, int, str], list[str]] = {}
    for before, group in ((rf"[{_K}{_KANA} \u3000]", _TITLES), ("", _SPOKEN)):
        for word in group:
            ends.setdefault((before, len(word), word[-1]), []).append(word)
    for (before, _, last), alike in ends.items():
        yield f"{last}(?<={before}(?:{'|'.join(alike)}))" + ("" if before else "(?=氏?名?[はの \u3000(（])")
    yield from _POLITE
    yield rf"の(?=[{_K}]{{1,6}}です)"
    yield from (rf"{space}(?=[{_K}{_KANA}])" for space in (" ", "\u3000"))
    yield rf"\n(?=[{_K}]{{3,7}}(?:\n|\Z))"


HEADS = tuple(_heads())


def names(text: str) -> Iterator[Place]:
    """Names of persons; the same place may be found twice."""
    for start, end in (*_after_labels(text), *_before_marks(text), *_in_fields(text)):
        yield KIND, start, end


def _is_given(text: str) -> bool:
    """A listed given name, or two or three kanji that given names are made of."""
    return text in _GIVEN or (2 <= len(text) <= 3 and _GIVEN_KANJI.issuperset(text))


def _is_full_name(name: str) -> bool:
    """Family name, perhaps a space, given name."""
    first, space, second = name.partition(" ")
    if space:
        given = second in _GIVEN_KANJI or _is_given(second) or _KANA_GIVEN.fullmatch(second) is not None
        return given and (first in _SURNAMES or first in _READINGS)
    return any(name[:n] in _SURNAMES and _is_given(name[n:]) for n in range(1, min(5, len(name))))


# ---- before さん and its like ---------------------------------------------------------------------------------------


def _before_marks(text: str) -> Iterator[tuple[int, int]]:
    for match in _MARK.finditer(text):
        end = match.start() - (text[match.start() - 1 : match.start()] == " ")
        for start in range(max(0, end - _LONGEST), end):  # the longest name comes first
            if _is_shown(text[start:end], match.group()) and _begins(text, start):
                yield start, end
                break
    for match in _INTRODUCED.finditer(text):
        name = match.group(1)
        if (name in _SURNAMES and name not in _ORDINARY) or _is_full_name(name):
            yield match.span(1)


def _begins(text: str, start: int) -> bool:
    """Nothing stands before that the name could be the end of."""
    before = text[start - 1 : start]
    if _IS_KATAKANA.match(text, start):
        return not _IS_KATAKANA.match(before)
    return not _IS_KANJI.match(before) or before in _BEFORE


def _is_shown(name: str, mark: str) -> bool:
    """A family name that `mark` shows to be one, or a full name."""
    if name in _SURNAMES:
        if mark == "氏":
            return name not in _HOUSES
        if mark in _PERSONAL:
            return name + mark not in _TITLES_OF_KINGS
        return name not in _ORDINARY or (len(name) > 1 and mark not in _LOCAL_TITLES)
    if name[:-1] in _SURNAMES and name[-1] in _GIVEN_KANJI and len(name) > 2:  # a given name of one kanji
        return mark in _PERSONAL or name[-1] in _GIVEN
    return (name in _READINGS and mark != "氏") or _is_full_name(name)


# ---- after 氏名: and its like ---------------------------------------------------------------------------------------


def _after_labels(text: str) -> Iterator[tuple[int, int]]:
    for label in _LABEL.finditer(text):
        if label.group(2) in ("は", "の") and label.group(1) not in _SPOKEN:
            continue
        certain = label.group(1) in _FIELDS and label.group(2) is None
        personal = certain or (label.group(1)[-1] in _ROLE_ENDS and label.group(2) is None)
        at = label.end()
        for _ in range(_MOST_LISTED):
            end = _name_at(text, at, certain, personal)
            if end is None:
                break
            yield at, end
            personal = True
            following = _NEXT.match(text, end)
            at = following.end() if following else len(text)


def _name_at(text: str, at: int, certain: bool, personal: bool) -> int | None:
    """Where the name ends that begins at `at`. certain = hardly anything but a name can stand there; personal = what
    stands there is a person and no department."""
    if certain:
        for pattern in (_READ, _SPACED):
            if (match := pattern.match(text, at)) and _AFTER.match(text, match.end()):
                return match.end()
    for end in range(min(len(text), at + _LONGEST), at, -1):
        if _AFTER.match(text, end) and _is_named(text[at:end], certain, personal):
            return end
    return None


def _is_named(name: str, certain: bool, personal: bool) -> bool:
    """A family name alone, unless it may as well be a place or a word; or a full name, a rare given name included."""
    if name in _SURNAMES:
        return personal or name not in _ORDINARY
    rare = certain and len(name) <= 5 and _IS_KANJI.fullmatch(name) is not None
    return name in _READINGS or _is_full_name(name) or (rare and (name[:2] in _SURNAMES or name[:3] in _SURNAMES))


# ---- alone in a line, a cell or parentheses -------------------------------------------------------------------------


def _in_fields(text: str) -> Iterator[tuple[int, int]]:
    for match in _FIELD.finditer(text):
        name, start = match.group(1), match.start(1)
        before = text[match.start() - 1 : match.start()]
        apart = " " in name or before in ("\t", "|") or (before in ("", "\n", ",") and _is_row(text, start))
        if apart and _is_full_name(name):
            yield start, match.end(1)


def _is_row(text: str, at: int) -> bool:
    """The line is a row of a table or a signature, no sentence."""
    begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    line = text[begin : end if end >= 0 else len(text)]
    return len(line) <= 200 and "。" not in line and "、" not in line
