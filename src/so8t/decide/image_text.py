"""How an image enters a request: as the text that OCR read, under a line that says what it is (SPEC M10).

Pure, and nothing is made harmless here: what stands on an image is judged like any pasted document (LABELS.md), and
prompt.messages breaks the spellings that could write turns of the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from so8t.core.text import nfkc

LONGEST = 1200  # characters of a page that a request carries
LONGEST_NAME = 40  # of the kind of image and of the level
UNREAD = "不明"
# What is printed round the level in a stamp: 取扱区分:部外秘, 社外秘扱い:部外秘, 【極秘】.
# OCR may read the rules of its box as brackets or bars.
_STAMP = r"\W{{0,2}}(?:\w{{0,4}}(?:区分|扱い))?\W{{0,2}}({levels})\W{{0,2}}"


def with_image(query: str, image_type: str, level: str | None, text: str, confidence: float) -> str:
    """The query, then what the image is, its level as a marking that a policy's markers find, and what stands on it.

    level None = no stamp could be read. text and confidence are the OCR's.
    """
    kind, stamp = _one_line(image_type), _one_line(level or UNREAD)
    read = text if len(text) <= LONGEST else text[:LONGEST] + "(以下略)"
    return f"{query}\n【画像: {kind} / 区分:{stamp} / OCR確度 {confidence:.2f}】\n{read}"


def level_on(text: str, levels: Sequence[str]) -> str | None:
    """The highest level stamped on a page; None without a stamp. `levels` lowest first.

    A stamp stands apart from the words beside it: 「公開できる」 in a sentence is none.
    """
    # Of two levels that begin alike the longer is tried first.
    names = "|".join(re.escape(nfkc(name)) for name in sorted(levels, key=len, reverse=True))
    stamp = re.compile(_STAMP.format(levels=names))
    found = [match[1] for word in nfkc(text).split() if (match := stamp.fullmatch(word))]
    order = [nfkc(name) for name in levels]
    best = max((order.index(name) for name in found), default=None)
    return None if best is None else levels[best]


def _one_line(name: str) -> str:
    return " ".join(name.split())[:LONGEST_NAME]
