"""Personal data and secrets in a text: found by form, check digit or context, masked by their kind.

Names and addresses are found where their surroundings give them away (pii_names.py, pii_addresses.py): what only
knowledge of the world would tell is missed, so that ordinary words stay whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from so8t.core.text import INVISIBLE
from so8t.decide import pii_addresses, pii_names
from so8t.decide.pii_form import Place
from so8t.decide.pii_numbers import BARE, LABELLED, bare_numbers
from so8t.decide.pii_secrets import SECRETS

# Kinds with a form of their own: unlike a name or an address, nobody writes one by way of example or politeness.
IDENTIFIERS = frozenset(form.kind for form in (*SECRETS.forms, *LABELLED.forms, *BARE)) - {"生年月日"}


@dataclass(frozen=True, slots=True)
class Finding:
    """text[start:end] of the original text is of this kind; the kind is also its placeholder."""

    kind: str
    start: int
    end: int


_DASHED = re.compile(r"[‐‑‒–—―−ー](?<=[0-9)].)(?=[0-9(])")


def find(text: str, kinds: frozenset[str] | None = None) -> list[Finding]:
    """Personal data and secrets in order of place, never overlapping; offsets are of `text` as it was given.

    kinds = look for these alone, None = for all.
    """
    if not _may_hold(text):
        return []
    normal, offsets = _normalised(text)
    taken: list[Finding] = []
    claimed = bytearray(len(normal))
    for kind, start, end in _places(normal, kinds):
        if not any(claimed[start:end]):
            claimed[start:end] = b"\x01" * (end - start)
            first, last = (start, end) if offsets is None else (offsets[start], offsets[end - 1] + 1)
            taken.append(Finding(kind, first, last))
    return sorted(taken, key=lambda f: f.start)


def mask(text: str) -> tuple[str, Counter[str]]:
    """The text with every finding replaced by ［its kind］, and how many of each kind there were."""
    findings = find(text)
    if not findings:
        return text, Counter()
    parts, at = [], 0
    for finding in findings:
        parts += [text[at : finding.start], f"［{finding.kind}］"]
        at = finding.end
    return "".join([*parts, text[at:]]), Counter(finding.kind for finding in findings)


def _places(text: str, kinds: frozenset[str] | None) -> Iterator[Place]:
    """In the order in which they claim their place: what is surer comes first."""
    lower = text.lower()
    yield from SECRETS.places(text, lower, kinds)
    yield from LABELLED.places(text, lower, kinds)
    if kinds is None or pii_addresses.KIND in kinds:
        yield from pii_addresses.addresses(text)
    yield from bare_numbers(text, kinds)
    if kinds is None or pii_names.KIND in kinds:
        yield from pii_names.names(text)


# ---- what lets a text pass unread -----------------------------------------------------------------------------------

_SHORT = 12  # a cell of a table
_NAME_FIRST = re.compile(r"[一-鿿々〆ヶ]{3,7}[ \n\t,|]")
_PRINTABLE = re.compile(r"[!-~\t]")  # every number, key and label with a colon needs one of these
_HINT = re.compile("|".join([*pii_addresses.HEADS, *pii_names.HEADS]))


def _may_hold(text: str) -> bool:
    """Cheap, and never wrong when it says no."""
    if len(text) <= _SHORT or _NAME_FIRST.match(text):
        return True
    return any(pattern.search(text) for pattern in (_PRINTABLE, _HINT, _odd(), INVISIBLE))


# ---- one spelling ---------------------------------------------------------------------------------------------------

_COMPATIBLE = (*range(0xA0, 0x3400), *range(0xF900, 0x10000))  # where NFKC changes single characters


@cache
def _folded() -> dict[str, str]:
    """Every character of the basic plane that NFKC or INVISIBLE changes, and what it becomes."""
    table = {c: unicodedata.normalize("NFKC", c) for c in map(chr, _COMPATIBLE)}
    return {c: "" if INVISIBLE.match(c) else to for c, to in table.items() if c != to or INVISIBLE.match(c)}


@cache
def _odd() -> re.Pattern[str]:
    """Characters that stand for others that the patterns above look for; they look for the ideographic space itself."""
    odd = [c for c, to in _folded().items() if c != "\u3000" and any(x.isalnum() or x in "@:=|, " for x in to)]
    return re.compile(f"[{re.escape(''.join(odd))}]")


@cache
def _changed() -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(_folded()))}]")


def _normalised(text: str) -> tuple[str, list[int] | None]:
    """NFKC without invisible characters, and for each of its characters where it came from; None = the same place."""
    table = _folded()
    same = _changed().sub(lambda m: to if len(to := table[m.group()]) == 1 else m.group(), text)
    if unicodedata.is_normalized("NFKC", same) and not INVISIBLE.search(same):
        return _DASHED.sub("-", same), None
    characters: list[str] = []
    offsets: list[int] = []
    for place, character in enumerate(same):
        # One character at a time, so that each keeps its place; what that cannot compose is never part of a number.
        folded = "" if INVISIBLE.match(character) else unicodedata.normalize("NFKC", character)
        characters.append(folded)
        offsets += [place] * len(folded)
    return _DASHED.sub("-", "".join(characters)), offsets
