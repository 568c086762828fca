"""Is this text worth learning from? `so8t` = faults that measurable facts show, `plan` = the score of plan 3.1.

Every text starts at 1 and loses for each fault; the reasons are the faults in words. Thresholds were set on the `dev`
half of benchmarks/quality_set.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so8t.build.data.junk import Junk, junk
from so8t.build.data.signatures import Shingles, shingle_hashes
from so8t.build.data.text_facts import Facts, Kind, Numbers, facts
from so8t.core.text import clean, japanese_ratio
from so8t.decide.codes import Codes, encode, encode_folded
from so8t.decide.linear import LONGEST, Grams, grams

_PUNCTUATION = re.compile(r"[、。！？]")
JUNK_WEIGHT = 0.6
Reason = tuple[str, str]  # Japanese, English


@dataclass(frozen=True, slots=True)
class Quality:
    """0 = junk, 1 = good; `reasons` says in words what was taken off."""

    value: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a text when `measure` is above `limit` (below, where `least`); it costs `weight`."""

    ja: str
    en: str
    weight: float
    limit: float
    measure: Callable[[Facts], Numbers]
    least: bool = False
    percent: bool = True

    def found(self, measured: Numbers) -> NDArray[np.bool_]:
        return measured < self.limit if self.least else measured > self.limit

    def reason(self, value: float) -> Reason:
        shown = f"{value:.0%}" if self.percent else f"{value:.3g}"
        return f"{self.ja}({shown})", f"{self.en} ({shown})"


def _unended(f: Facts) -> Numbers:
    """Characters a sentence; all of them where nothing ends one."""
    return f.length / np.maximum(f.counts[:, Kind.STOP], 0.5)


def _stops(f: Facts) -> Numbers:
    """Sentence ends; a heading or a short note needs none."""
    return np.where(f.length >= 60, f.counts[:, Kind.STOP], 1.0)


def _lines(f: Facts) -> Numbers:
    """Line ends a sentence."""
    return f.counts[:, Kind.NEWLINE] / np.maximum(f.counts[:, Kind.STOP], 0.5)


FAULTS = (
    Fault("短い", "short", 0.35, 60, lambda f: f.length, least=True, percent=False),
    Fault("とても短い", "very short", 0.3, 30, lambda f: f.length, least=True, percent=False),
    Fault(
        "日本語が少ない", "little Japanese", 0.7, 0.3,
        lambda f: f.share(Kind.HIRAGANA, Kind.KATAKANA, Kind.KANJI, Kind.HALF_KANA), least=True,
    ),
    Fault("ひらがなが少ない: 中国語か語の羅列", "few hiragana: Chinese or a list of words", 0.7, 0.1,
          lambda f: f.share(Kind.HIRAGANA), least=True),
    Fault("文字化け", "mojibake", 0.8, 0.02, lambda f: f.share(Kind.BROKEN)),
    Fault("半角カナが多い", "half-width kana", 0.5, 0.1, lambda f: f.share(Kind.HALF_KANA)),
    Fault("ハングルが多い", "Korean", 0.7, 0.1, lambda f: f.share(Kind.HANGUL)),
    Fault("文が終わらない(一文の字数)", "sentences do not end (characters each)", 0.5, 220, _unended, percent=False),
    Fault("句点がない", "no full stop", 0.5, 0.5, _stops, least=True, percent=False),
    Fault("句点が多すぎる", "too many full stops", 0.4, 0.12, lambda f: f.share(Kind.STOP)),
    Fault("改行ばかり(一文あたり)", "line ends everywhere (a sentence)", 0.4, 4, _lines, percent=False),
    Fault("記号が多い", "many symbols", 0.5, 0.12, lambda f: f.share(Kind.MARK, Kind.OTHER)),
    Fault("同じ語句の繰り返し", "repetition", 0.6, 0.6, lambda f: f.repeated),
    Fault("文字の並びが文になっていない", "letters in no order", 0.6, 3.0, lambda f: f.surprise, percent=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scores:
    """value [texts]; the rest is kept so that reasons are put into words only for those who ask."""

    value: Numbers
    measured: tuple[Numbers, ...]
    junk: Mapping[int, Junk]

    def reasons(self, i: int) -> tuple[Reason, ...]:
        pairs = [(fault, float(values[i])) for fault, values in zip(FAULTS, self.measured, strict=True)]
        found = [fault.reason(value) for fault, value in pairs if bool(fault.found(np.asarray(value)))]
        if what := self.junk.get(i):
            found.append((f"{what.ja}({what.value})", f"{what.en} ({what.value})"))
        return tuple(found)


def score_many(texts: Sequence[str], raw: Codes, hashed: Shingles, looked_at: Grams) -> Scores:
    """All four are the same cleaned texts."""
    known = facts(raw, hashed)
    measured = tuple(fault.measure(known) for fault in FAULTS)
    found = junk(texts, looked_at, known.repeated)
    value = np.ones(len(raw))
    for fault, values in zip(FAULTS, measured, strict=True):
        value -= fault.weight * fault.found(values)
    value[list(found)] -= JUNK_WEIGHT
    value[raw.lengths == 0] = 0.0
    return Scores(np.clip(value, 0.0, 1.0).round(3), measured, found)


def score(text: str) -> Quality:
    """One text; many at once are much faster."""
    cleaned = clean(text).replace("\0", "")
    if not cleaned:
        return Quality(0.0, (("空です", "empty"),))
    folded = encode_folded([cleaned])
    scores = score_many([cleaned], encode([cleaned]), shingle_hashes(folded), grams(folded, LONGEST))
    return Quality(float(scores.value[0]), scores.reasons(0))


def plan_score(text: str) -> float:
    """Plan 3.1, literally: length, Japanese share, punctuation, word variety."""
    if not text:
        return 0.0
    value = 0.3 if 100 <= len(text) <= 1000 else 0.0
    value += japanese_ratio(text) * 0.4
    value += 0.2 if 2 <= len(_PUNCTUATION.findall(text)) <= len(text) / 50 else 0.0
    words = text.split()
    value += 0.1 if len(set(words)) / max(1, len(words)) > 0.3 else 0.0
    return min(value, 1.0)


def plan_scores(texts: Sequence[str]) -> Numbers:
    return np.array([round(plan_score(text), 3) for text in texts])


def quality(text: str, scorer: str) -> Quality:
    """By the scorer that the configuration names."""
    return Quality(round(plan_score(text), 3), ()) if scorer == "plan" else score(text)
