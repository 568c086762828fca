"""Regexes of a policy: checked before they are compiled, and found without trying each of them on each text.

A regex is tried only where the two letters stand with which its matches begin: on ordinary requests nearly every rule
is ruled out by one set intersection, and the rest by a handful of attempts.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import Any

MAXIMUM_LENGTH = 2000
MAXIMUM_SPREAD = 5000  # how many ways the repeats of one regex may share out a text
REACH = 1000  # how far a match may extend
_FEW = 8
_GRAM = 2
_MAXIMUM_HEADS = 400
# The standard library's own parser: a second one would disagree with it some day.
_parser: Any = importlib.import_module("re._parser")

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_Head = tuple[str, bool]  # how a match may begin, and whether more of it is known


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """One compiled regex; the same source is the same object, so it is looked up by identity.

    heads = one of these one- or two-letter strings begins every match; None = unknown. local = what surrounds a match
    does not matter, so that what matches in a part matches in the whole.
    """

    source: str
    regex: re.Pattern[str]
    heads: frozenset[str] | None
    local: bool

    def found(self, text: str) -> bool:
        """Whether the regex matches anywhere; meant for short texts."""
        return self.regex.search(text) is not None

    def found_at(self, text: str, lower: str, heads: Iterable[str]) -> bool:
        """Like found, trying only where one of these heads stands in `lower`, the lower case of `text`."""
        for head in heads:
            at = lower.find(head)
            while at >= 0:
                if self.regex.match(text, at, at + REACH):
                    return True
                at = lower.find(head, at + 1)
        return False


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
    return Pattern(source, regex, _heads(tree), _is_local(tree))


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


def _is_local(items: Iterable[Any]) -> bool:
    """Free of anchors and lookarounds."""
    for operator, argument in items:
        name = str(operator)
        if name in ("AT", "ASSERT", "ASSERT_NOT"):
            return False
        parts = argument[1] if name == "BRANCH" else [argument[2]] if name in _REPEATS else _inner(name, argument)
        if not all(map(_is_local, parts)):
            return False
    return True


def _heads(tree: Iterable[Any]) -> frozenset[str] | None:
    heads = frozenset(text.lower() for text, _ in _begin(tree))
    return None if "" in heads or len(heads) > _MAXIMUM_HEADS else heads


def _begin(items: Iterable[Any]) -> set[_Head]:
    """How a match of a sequence may begin, up to two letters."""
    heads: set[_Head] = {("", True)}
    for operator, argument in items:
        growing = {text for text, known in heads if known and len(text) < _GRAM}
        if not growing or len(heads) > _MAXIMUM_HEADS:
            break
        following = _begin_one(str(operator), argument)
        heads = {h for h in heads if h[0] not in growing or not h[1]}
        heads |= {((a + b)[:_GRAM], known) for a in growing for b, known in following}
    return heads


def _begin_one(name: str, argument: Any) -> set[_Head]:
    if name == "LITERAL":
        return {(chr(argument), True)}
    if name == "IN":
        characters = _characters(argument)
        return {(c, True) for c in characters} if characters else {("", False)}
    if name == "SUBPATTERN":
        return _begin(argument[-1])
    if name == "BRANCH":
        return {head for branch in argument[1] for head in _begin(branch)}
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        inner = {(text, False) for text, _ in _begin(argument[2])} if argument[1] != 1 else _begin(argument[2])
        return inner | {("", True)} if argument[0] == 0 else inner
    # Anchors and lookarounds take up no text; of anything else nothing is known.
    return {("", name in ("AT", "ASSERT", "ASSERT_NOT"))}


def _characters(members: Sequence[Any]) -> set[str]:
    """The letters of a character class, empty when it is negated, a category or large."""
    found: set[str] = set()
    for operator, argument in members:
        if str(operator) == "LITERAL":
            found.add(chr(argument))
        elif str(operator) == "RANGE" and argument[1] - argument[0] < 16:
            found.update(map(chr, range(argument[0], argument[1] + 1)))
        else:
            return set()
    return found


def grams(text: str) -> set[str]:
    """The letters and pairs of letters of a text, in lower case."""
    lower = text.lower()
    return {*lower, *map(add, lower, lower[1:])}
