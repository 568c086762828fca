"""What a text says once its disguises are taken off (issue 6.5): each view is judged as the text it is (LABELS.md).

raw -> normal -> decoded -> joined, each made from the one before; kana and romaji are further readings of the last.
A view equal to the one it was made from is left out.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from so8t.decide.decoding import decode
from so8t.decide.romaji import romaji_to_hiragana
from so8t.decide.spelling import join_split, normalise, to_hiragana, unmask


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. changed = differs from the raw text; complete = nothing in it stayed unread."""

    kind: str
    text: str
    changed: bool = False
    complete: bool = True


@lru_cache(maxsize=64)  # one request is read by several judges
def views(text: str) -> tuple[View, ...]:
    """Every reading of `text` that differs from the one before it, raw first; also one that could not be finished."""
    found = [View("raw", text)]
    normal = normalise(text)
    decoded, complete = decode(normal)
    joined = join_split(decoded)
    before = text
    for kind, reading in (("normal", normal), ("decoded", decoded), ("joined", joined)):
        unread = kind == "decoded" and not complete
        if reading != before or unread:
            found.append(View(kind, reading, reading != text, not unread))
        before = reading
    if (kana := to_hiragana(joined)) != joined:
        found.append(View("kana", kana, True))
    if (spoken := romaji_to_hiragana(joined)) != joined:
        found.append(View("romaji", spoken, True))
    return tuple(found)


@lru_cache(maxsize=64)
def clearest(text: str) -> View:
    """The one reading a model gets, in training as in serving: the text in NFC, with only its disguises undone."""
    plain = unicodedata.normalize("NFC", text)
    unmasked = unmask(plain)
    decoded, complete = decode(unmasked)
    joined = join_split(decoded)
    kind = "raw"
    for name, reading, before in (
        ("normal", unmasked, plain),
        ("decoded", decoded, unmasked),
        ("joined", joined, decoded),
    ):
        kind = name if reading != before else kind
    return View(kind, joined, joined != plain, complete)
