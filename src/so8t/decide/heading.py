"""A level that stands alone, as offices write it: on a line at the head or foot of a page, or in a file's name.

The markings of a policy are looked for in brackets or behind 「区分:」, so that a letter which merely speaks of 極秘 is
not itself 極秘. A word that is all there is of a line or of a part of a name is no speaking of it: 社外秘 printed over
a page, 極秘_計画.docx, a folder called 部外秘. It is read as if the brackets were there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from so8t.core.text import nfkc
from so8t.decide.clearance import highest, level_of_words
from so8t.decide.policy import Policy

HEAD, FOOT = 6, 3  # lines with words at either end of a page
LONGEST = 40  # characters of such a line
MOST_LINES = 400  # of a page where every line counts
_APART = re.compile(r"[_・/|:\-‐–—.()\[\]【】<>〈〉《》〔〕*※]+")  # no quotes: 「極秘」とは is a sentence


def level_alone(text: str, policy: Policy, *, anywhere: bool = False) -> str | None:
    """The highest level alone on a line of a page's head or foot, or of the whole page; None without one."""
    lines = [line for line in map(str.strip, nfkc(text).splitlines()) if line]
    if not anywhere and len(lines) > HEAD + FOOT:
        lines = lines[:HEAD] + lines[-FOOT:]
    return highest((_level(line, policy) for line in lines[:MOST_LINES] if len(line) <= LONGEST), policy)


def level_named(names: Iterable[str], policy: Policy) -> str | None:
    """The highest level that is a part of the name of a file or a folder; None without one."""
    return highest((_level(nfkc(name), policy) for name in names), policy)


def _level(line: str, policy: Policy) -> str | None:
    return highest((level_of_words(piece, policy) for piece in _pieces(line)), policy)


def _pieces(line: str) -> Iterator[str]:
    """What stands between marks; and between spaces what is no English, whose every word would be one."""
    for piece in _APART.split(line):
        yield piece
        yield from (word for word in piece.split() if not word.isascii())
