"""From a te-form to the stem a wish or a promise is built on, 送って -> 送り(たい, ます)."""

from __future__ import annotations

import re
from functools import lru_cache

# Verbs whose te-form does not show the stem: 五段 in -って other than -る, in -んで other than -む.
_IRREGULAR = {
    "って": {"い": "使払言買追伺誘失装争狙雇扱補問拾救願笑疑違会合縫覆担奪従らま", "ち": "待持打勝立保育放"},
    "んで": {"び": "選並呼運遊結学喜及", "に": "死"},
}
_REGULAR = {"って": "り", "んで": "み", "いて": "き", "いで": "ぎ", "して": "し"}
# Asking to be told is a wish to know; these make no wish of the asker's own.
_SWAPPED = {"教えて": "知り", "読ませて": "読み", "挙げて": "挙げ"}
_CLOSED = re.compile(r"(見せて|手伝って|ください|答えて|言い切って|回答して|返事して|約束して|見立てて|診断して)$")


@lru_cache(maxsize=8192)
def wanted(te: str) -> str | None:
    """`te` with its last verb as the stem of たい; None where the wish would be another request."""
    if _CLOSED.search(te) or not te.endswith(("て", "で")):
        return None
    for ending, stem in _SWAPPED.items():
        if te.endswith(ending):
            return te[: -len(ending)] + stem
    return _stem(te) if te[-2:] in _REGULAR else te[:-1]


def _stem(te: str) -> str:
    tail = te[-2:]
    for stem, kanji in _IRREGULAR.get(tail, {}).items():
        if te[-3:-2] in kanji:
            return te[:-2] + stem
    return te[:-2] + _REGULAR[tail]
