"""Regexes of a policy: checked before they are compiled, and found without trying each of them on each text.

Every match of a regex begins with one of a few short strings, its heads, and holds one of a few, its factors. Where
none of them stands, there is no need to try it (RuleIndex).
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAXIMUM_LENGTH = 2000
MAXIMUM_SPREAD = 5000  # how many ways the repeats of one regex may share out a text
REACH = 1000  # how far a match may extend
_OVERLAP = 200
_FEW = 8
_HEAD_LENGTHS = (6, 4, 3, 2, 1)  # letters of a head: the more the rarer, as long as there are not too many heads
_MAXIMUM_HEADS = 1000
# The standard library's own parser: a second one would disagree with it some day.
_parser: Any = importlib.import_module("re._parser")

# What re.IGNORECASE takes for an ASCII letter.
_SPELLINGS = {c: c + c.upper() for c in "abcdefghijklmnopqrstuvwxyz"} | {"i": "iIİı", "s": "sSſ", "k": "kKK"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_Head = tuple[str, bool]  # how a match may begin, and whether what follows in the regex follows directly on it
# Letters that a regex takes for others although their lower case differs (ſ for s), other than ASCII ones.
_casefix: Any = importlib.import_module("re._casefix")
_VARIED = frozenset(chr(c) for c, others in _casefix._EXTRA_CASES.items() for c in (c, *others)) - {"i", "s"}


def fold(text: str) -> str:
    """Lower case, letter for letter, so that positions stay; what re.IGNORECASE takes for i or s is that letter."""
    lower = text.replace("İ", "i").lower()
    return lower.replace("ı", "i").replace("ſ", "s") if "ı" in lower or "ſ" in lower else lower


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """One compiled regex; the same source is the same object, so it is looked up by identity.

    heads = one of these folded strings begins every match; factors = one of these is in every match, the rarest there
    are; None = unknown. quick = the same regex, which looks at the first letter before it tries anything.
    """

    source: str
    regex: re.Pattern[str]
    heads: frozenset[str] | None
    factors: frozenset[str] | None
    quick: re.Pattern[str]

    def found(self, text: str) -> bool:
        """Whether the regex matches anywhere, within REACH of where it begins. Time is linear in the text."""
        if len(text) <= REACH:
            return self.quick.search(text) is not None
        if self.heads is None:
            return any(self.regex.search(piece) for piece in pieces(text))
        folded = fold(text)
        return any(self.found_after(head, text, folded) for head in self.heads)

    def found_after(self, head: str, text: str, folded: str) -> bool:
        at = folded.find(head)
        while at >= 0:
            if self.regex.match(text, at, at + REACH):
                return True
            at = folded.find(head, at + 1)
        return False


def commonness(strings: Iterable[str] | None) -> float:
    """How often one of these strings stands somewhere in Japanese text, very roughly."""
    return sum(math.prod(map(_commonness, string)) for string in strings) if strings else 1.0


def _commonness(letter: str) -> float:
    return 1 / 400 if letter > "\u3400" else 1 / 40


def pieces(text: str) -> Iterator[str]:
    """Overlapping stretches of at most REACH characters."""
    yield text[:REACH]
    for start in range(REACH - _OVERLAP, len(text) - _OVERLAP, REACH - _OVERLAP):
        yield text[start : start + REACH]


@lru_cache(maxsize=10_000)
def compile_pattern(source: str) -> Pattern:
    """Case-insensitive. Raises ValueError for bad syntax and for repeats that can take exponential or cubic time."""
    if len(source) > MAXIMUM_LENGTH:
        raise ValueError(f"regex: {len(source)} > {MAXIMUM_LENGTH} characters")
    try:
        tree = _parser.parse(source, re.IGNORECASE)
        regex = re.compile(source, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"regex: {error}") from error
    if regex.search("") is not None:
        raise ValueError("regex: matches nothing at all, so it is always found")
    if (spread := _spread(tree, 1)) > MAXIMUM_SPREAD:
        raise ValueError(f"regex: its repeats can be shared out in {spread} ways (at most {MAXIMUM_SPREAD})")
    flat = list(_flat(tree))
    heads = _heads(flat)
    return Pattern(source, regex, heads, _factors(flat), _quick(source, regex, heads))


def any_of(patterns: Sequence[Pattern]) -> re.Pattern[str]:
    """One regex that is found where any of these is."""
    source = "|".join(f"(?:{pattern.source})" for pattern in patterns) or r"(?!)"
    known = all(pattern.heads for pattern in patterns)
    heads = frozenset[str]().union(*(pattern.heads or () for pattern in patterns)) if known else None
    return _quick(source, re.compile(source, re.IGNORECASE), heads)


def _quick(source: str, regex: re.Pattern[str], heads: frozenset[str] | None) -> re.Pattern[str]:
    """The same regex behind a set of first letters, which `re` looks for several times faster than for anything else.

    The set takes up the first letter; what follows looks back over it at where the regex has to match.
    """
    first = {letter for head in heads or () for letter in _SPELLINGS.get(head[0], head[0])}
    if not first or not all(
        letter.isascii() or letter in "İıſK" or letter.lower() == letter.upper() for letter in first
    ):
        return regex
    try:
        return re.compile(rf"[{''.join(sorted(map(re.escape, first)))}](?<=(?=(?i:{source}))[\s\S])")
    except re.error:  # flags for the whole regex
        return regex


def _spread(items: Iterable[Any], times: int) -> int:
    """Product of what the variable repeats can take; raises ValueError for a variable repeat inside a repeat."""
    spread = 1
    for operator, argument in items:
        name = str(operator)
        if name in _REPEATS:
            low, high, inner = int(argument[0]), min(int(argument[1]), REACH), argument[2]
            if times > 1 and low != high and (high > 1 or times > _FEW):
                raise ValueError("regex: a repeat inside a repeat can take exponential time")
            spread *= (high - low + 1) * _spread(inner, max(times, high))
        elif name == "BRANCH":
            if times > _FEW:
                raise ValueError("regex: alternatives inside a repeat can take exponential time")
            spread *= max(_spread(branch, times) for branch in argument[1])
        elif name == "GROUPREF":
            raise ValueError("regex: back references are not allowed")
        else:
            for inner in _inner(name, argument):
                spread *= _spread(inner, times)
    return spread


def _inner(name: str, argument: Any) -> list[Any]:
    if name == "SUBPATTERN":
        return [argument[-1]]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [argument[1]]
    return [argument] if name == "ATOMIC_GROUP" else []


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    """A sequence without the parentheses in it."""
    for operator, argument in items:
        if str(operator) == "SUBPATTERN":
            yield from _flat(argument[-1])
        else:
            yield operator, argument


def _factors(items: Sequence[Any]) -> frozenset[str] | None:
    """The rarest heads of any rest of a sequence; of alternatives, each one's own."""
    choices = [_heads(items[start:]) for start in range(len(items))]
    for operator, argument in items:
        if str(operator) == "BRANCH":
            parts = [_factors(list(_flat(branch))) for branch in argument[1]]
            choices.append(frozenset().union(*(p for p in parts if p)) if all(parts) else None)
    return min(choices, key=commonness, default=None)


def _heads(items: Sequence[Any]) -> frozenset[str] | None:
    """The longest heads of which there are not too many, without those that begin with another."""
    for length in _HEAD_LENGTHS:
        heads = {letters for letters, _ in _begin(items, length)}
        if "" not in heads and len(heads) <= _MAXIMUM_HEADS and not any(map(_SURROGATE.search, heads)):
            return frozenset(h for h in heads if not any(h[:n] in heads for n in range(1, len(h))))
    return None


def _begin(items: Iterable[Any], length: int) -> set[_Head]:
    """How a match of a sequence may begin, up to `length` letters; fewer where that would be too many heads."""
    heads: set[_Head] = {("", True)}
    for operator, argument in items:
        growing = {letters for letters, is_open in heads if is_open}
        if not growing:
            break
        following = _begin_one(str(operator), argument, length)
        if len(growing) * len(following) > _MAXIMUM_HEADS:
            return {(letters, False) for letters, _ in heads}
        grown = {(a + b, is_open) for a in growing for b, is_open in following}
        heads = {h for h in heads if not h[1]} | {(h[:length], is_open and len(h) <= length) for h, is_open in grown}
    return heads


def _begin_one(name: str, argument: Any, length: int) -> set[_Head]:
    if name == "LITERAL":
        return {_letter(argument)}
    if name == "IN":
        return set(map(_letter, _characters(argument))) or {("", False)}
    if name == "SUBPATTERN":
        return _begin(argument[-1], length)
    if name == "BRANCH":
        return {head for branch in argument[1] for head in _begin(branch, length)}
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return _begin_repeat(int(argument[0]), int(argument[1]), list(argument[2]), length)
    # Anchors and lookarounds take up no text; of anything else nothing is known.
    return {("", name in ("AT", "ASSERT", "ASSERT_NOT"))}


def _begin_repeat(low: int, high: int, items: list[Any], length: int) -> set[_Head]:
    sure = _begin(items * min(low, length), length)
    if high > low + 1:
        return {(letters, False) for letters, _ in _begin(items * max(1, min(low, length)), length)} | (
            {("", True)} if low == 0 else set()
        )
    if high == low:
        return sure
    return sure | _begin(items * min(high, length), length)


def _letter(code: int) -> _Head:
    letter = fold(chr(code))
    return ("", False) if letter in _VARIED else (letter, True)


def _characters(members: Sequence[Any]) -> set[int]:
    """The letters of a character class, empty when it is negated, a category or large."""
    found: set[int] = set()
    for operator, argument in members:
        if str(operator) == "LITERAL":
            found.add(argument)
        elif str(operator) == "RANGE" and argument[1] - argument[0] < 16:
            found.update(range(argument[0], argument[1] + 1))
        else:
            return set()
    return found
