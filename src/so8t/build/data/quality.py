"""Is this text worth learning from? `so8t` = gates with reasons, `plan` = the score of plan 3.1, for the record."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass

from so8t.core.text import japanese_ratio, kana_ratio, ngrams, sentences

_PUNCTUATION = re.compile(r"[、。！？]")
_HIRAGANA_RUN = re.compile(r"[ぁ-ん]{2,}")
# The hundred commonest pairs of the starter corpus.
_COMMONEST = (
    "ない てい って から った こと ある して いる では れる する れば には られ ます した であ れた いた "
    "にな れて ると るこ るの その なる され とい があ える だけ もの なく ため まで よう いう いて のは "
    "とき はな ける るか ので める ても らな くな あり めて でも りま えて です とが しま たと かを てお "
    "いの とし とも なっ のか なら かっ とに けで この それ けれ かな うに なり しい でき ほど いく のが "
    "れな けて るた せる いと てく まっ いま かめ えた われ とは もあ など おく わせ いな さな ませ より"
)
_COMMON_PAIRS = frozenset(_COMMONEST.split())
_MOJIBAKE = re.compile(r"\ufffd|[ÃÂ][\x80-\xbf]|(?:[縺繧繝譁蜿][^ぁ-ん]?){2,}")


@dataclass(frozen=True, slots=True)
class Quality:
    """0 = junk, 1 = good; `reasons` says in words what was taken off (Japanese, English)."""

    value: float
    reasons: tuple[tuple[str, str], ...]


def score(text: str) -> Quality:
    """Start at 1 and take off for every fault that measurable facts show."""
    if not text.strip():
        return Quality(0.0, (("空です", "empty"),))
    checks = (_short, _language, _mojibake, _stops, _repeats, _packs, _order)
    faults = [fault for check in checks if (fault := check(text))]
    value = max(0.0, 1.0 - sum(weight for weight, _, _ in faults))
    return Quality(round(value, 3), tuple((ja, en) for _, ja, en in faults))


Fault = tuple[float, str, str] | None


def _short(text: str) -> Fault:
    if len(text) >= 60:
        return None
    return 0.6 if len(text) < 30 else 0.35, f"短い({len(text)}字)", f"short ({len(text)} characters)"


def _language(text: str) -> Fault:
    japanese, kana = japanese_ratio(text), kana_ratio(text)
    if japanese < 0.5:
        return 0.7, f"日本語が少ない({japanese:.0%})", f"little Japanese ({japanese:.0%})"
    if kana < 0.12:
        return (
            0.7,
            f"かなが少ない({kana:.0%}): 中国語か用語の羅列",
            f"few kana ({kana:.0%}): Chinese or a list of terms",
        )
    return None


def _mojibake(text: str) -> Fault:
    found = len(_MOJIBAKE.findall(text))
    return (0.8, f"文字化け({found}か所)", f"mojibake ({found})") if found else None


def _stops(text: str) -> Fault:
    """Prose ends its sentences; navigation and word salads do not."""
    length = len(text) / max(1, len(sentences(text)))
    stops = len(re.findall(r"[。！？!?]", text)) / len(text)
    if len(text) >= 60 and stops == 0:
        return 0.5, "句点がない", "no full stop"
    if length > 250:
        return 0.4, f"一文が長い(平均{length:.0f}字)", f"long sentences (mean {length:.0f} characters)"
    return (0.4, "句点が多すぎる", "too many full stops") if stops > 0.12 else None


def _repeats(text: str) -> Fault:
    parts = sentences(text)
    if len(parts) < 3:
        return None
    share = 1 - len(set(parts)) / len(parts)
    return (
        (min(0.9, 2 * share), f"同じ文の繰り返し({share:.0%})", f"repeated sentences ({share:.0%})")
        if share > 0.15
        else None
    )


def _packs(text: str) -> Fault:
    """Text that deflates to little repeats itself, and so does one that a few words make up."""
    raw = text.encode("utf-8")
    if len(raw) < 600:
        return None
    ratio = len(zlib.compress(raw, 6)) / len(raw)
    if ratio < 0.25:
        return 0.6, f"語句の繰り返し(圧縮率{ratio:.2f})", f"repetition (deflate ratio {ratio:.2f})"
    words = Counter(re.findall(r"[ァ-ヴー]{3,}|[一-鿿]{2,}", text))
    share = sum(n - 1 for n in words.values() if n > 4) / max(1, sum(words.values()))
    return (0.5, f"語の詰め込み({share:.0%})", f"keyword stuffing ({share:.0%})") if share > 0.35 else None


def _order(text: str) -> Fault:
    """An order nobody writes: the commonest hiragana pairs are half of prose, a tenth of shuffled letters."""
    pairs = [pair for run in _HIRAGANA_RUN.findall(text) for pair in ngrams(run, 2)]
    if len(pairs) < 40:
        return None
    share = sum(pair in _COMMON_PAIRS for pair in pairs) / len(pairs)
    if share >= 0.25:
        return None
    return 0.6, f"文字の並びが文になっていない({share:.0%})", f"letters in no order ({share:.0%})"


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


def quality(text: str, scorer: str) -> Quality:
    """By the scorer that the configuration names."""
    return Quality(round(plan_score(text), 3), ()) if scorer == "plan" else score(text)
