"""Whether two spotted utterances belong to one item: a logistic score of how near and how alike they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so8t.core.text import ngrams
from so8t.operate.minutes.transcript import Utterance

REACH = 6  # utterances between two of one item, at most
SHORT = 15  # characters
_TURN = re.compile(
    r"^(?:では|じゃ[あぁ]?|それでは|はい)?[、,\s]*(?:次|続い|つぎ|それから|あと[、はに]|ほか|他に|ちなみに|最後|議題|第[一二三四五0-9])"
)
_ASSENT = re.compile(
    r"^(?:はい|ええ|うん|了解|わかり|分かり|承知|かしこまり|お願い|異議な|賛成|そうしま|いいと思|結構)"
)
_QUESTION = re.compile(r"(?:か|かね|かな|でしょう|ます|です)?[??]\s*$|(?:ですか|ますか|でしょうか|かね)。?$")
_PROMISE = re.compile(r"私が|僕が|俺が|うちで|やります|出します|します。?$|ときます|しておきます")
FEATURES = REACH + 11


def features(said: Sequence[Utterance], i: int, j: int, before: float, after: float) -> NDArray[np.float32]:
    """[FEATURES] of utterances i < j, with their probabilities of the kind."""
    a, b, between = said[i], said[j], said[i + 1 : j]
    first, second = _content(a.text), _content(b.text)
    common = len(first & second) / max(1, min(len(first), len(second)))
    near = [float(j - i == step) for step in range(1, REACH + 1)]
    return np.array(
        [
            *near, 1.0, float(a.speaker == b.speaker), float(bool(_TURN.match(b.text))),
            float(any(_TURN.match(one.text) for one in between)), common, float(len(b.text) < SHORT),
            float(bool(_ASSENT.match(b.text))), float(bool(_QUESTION.search(a.text))),
            float(bool(_PROMISE.search(a.text)) and bool(_PROMISE.search(b.text)) and a.speaker != b.speaker),
            before, after,
        ],
        np.float32,
    )  # fmt: skip


def linked(weight: NDArray[np.float32], found: NDArray[np.float32]) -> bool:
    """`weight` [FEATURES] of the kind."""
    return bool(weight @ found > 0)


def _content(text: str) -> set[str]:
    """Pairs of kanji, katakana, letters and digits: what a sentence is about."""
    kept = "".join(c if c.isalnum() and not "\u3041" <= c <= "\u309f" else " " for c in text)
    return {pair for word in kept.split() for pair in ngrams(word, 2)}
