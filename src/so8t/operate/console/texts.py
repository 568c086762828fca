"""Texts of people on a page: escaped, in their own writing direction, and nothing invisible left unseen.

What could turn the direction of a page or hide a word from a reviewer (Unicode TR36) is shown by its number instead.
Joiners and variation selectors stay: emoji and names such as 葛󠄀 need them.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufffe\uffff\U000e0000-\U000e00ff\ud800-\udfff]"
)


def said(text: object) -> Markup:
    """A text of any length; its line breaks are kept by the style sheet."""
    return Markup('<bdi class="said">{}</bdi>').format(_marked(_lines(str(text))))


def named(text: object) -> Markup:
    """A name, a target, a comment's author: one line inside a sentence of ours."""
    return Markup("<bdi>{}</bdi>").format(_marked(" ".join(str(text).split())))


def plain(text: object) -> str:
    """For places that hold no markup: the value of a field, a title."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))


def excerpt(text: str, longest: int = 60) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 4 * longest].split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(text: str) -> Markup:
    """In one pass over the escaped text, which holds the same unseen characters: a text may consist of nothing else."""
    return Markup(_UNSEEN.sub(_mark, str(escape(text))))


def _mark(found: re.Match[str]) -> str:
    return f'<span class="unseen">U+{ord(found[0]):04X}</span>'
