"""Section "consistency" of a card: are like requests judged alike, and do requests that differ in the one point that
matters get different answers (plan 7.3, 9.4; SPEC P4)?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t.report.figures import DECISION_WORDS, SMALL_SAMPLE, Figure, Words, count, number
from so8t.report.reading import interval, mapping, mappings, plain

PLAN = 0.8


def share_figure(name: str, ja: str, en: str, meaning_ja: str, meaning_en: str, plan: float | None = None) -> Figure:
    return Figure(name, Words(ja, en), (), "higher", "percent", plan=plan, meaning=Words(meaning_ja, meaning_en))


REWORDED = share_figure(
    "reworded", "言い換えの一貫性", "Consistency over paraphrases",
    "同じ内容を敬体・常体・くだけた言い方・メールで聞いたとき、同じ判定になった組の割合",
    "Pairs of phrasings of one request (polite, plain, casual, mail) that got the same decision", PLAN,
)  # fmt: skip
WHOLE = share_figure(
    "whole", "四つとも同じ判定の依頼", "All four phrasings alike",
    "四つの言い方すべてで同じ判定になった依頼の割合", "Requests that got one decision in all four phrasings",
)  # fmt: skip
CONTRAST = share_figure(
    "contrast", "言い換えに混ぜた別の依頼の見分け", "Told apart from a near-identical request",
    "言葉はほとんど同じで判定が違うべき依頼に、違う判定を出した割合。何にでも同じ判定を出せば 0 になる",
    "Near-identical requests with another label that were judged differently; 0 if everything is judged the same",
)  # fmt: skip
MINIMAL = share_figure(
    "minimal", "試験の最小対の見分け", "Minimal pairs of the test told apart",
    "試験用の依頼で、わずかな違いで正解が変わる組に違う判定を出した割合",
    "Test requests whose label turns on a small difference, judged differently",
)  # fmt: skip
SCORE = share_figure(
    "score", "似た依頼の一貫性", "Consistency of like requests",
    "文字の並びが似て、権限と区分が同じ依頼の組のうち、同じ判定になった割合(計画 9.4 の式)",
    "Pairs of requests alike in characters, with the same levels, that got the same decision (formula of plan 9.4)",
    PLAN,
)  # fmt: skip


def consistency(section: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of the card: paraphrases, their counter-check, and like requests of the evaluation where there are any."""
    reworded, log = mapping(section.get("paraphrases")), mapping(section.get("log"))
    rows = [
        figure_row(REWORDED, reworded.get("pairs")),
        figure_row(WHOLE, reworded.get("groups")),
        figure_row(CONTRAST, reworded.get("told_apart")),
        figure_row(MINIMAL, section.get("minimal_pairs")),
        figure_row(SCORE, log.get("score")),
    ]
    rows = [row for row in rows if row]
    broken = [_broken(group) for group in mappings(reworded.get("broken"))]
    return {"rows": rows, "broken": [b for b in broken if b["members"]]} if rows else {}


def figure_row(f: Figure, part: Any) -> dict[str, Any]:
    """One measured share in words and strings; {} where nothing could be measured."""
    found = {k: v for k in ("value", "low", "high", "n") if (v := number(mapping(part).get(k))) is not None}
    value = found.get("value")
    if value is None:
        return {}
    few = 0 < found.get("n", SMALL_SAMPLE) < SMALL_SAMPLE
    return {
        "words": f.words,
        "meaning": f.meaning,
        "value": f.write(value),
        "interval": interval(f, found),
        "n": count(found.get("n")),
        "target": f.write_bound(f.plan, strict=True),
        "met": None if f.plan is None else value > f.plan,
        "notes": [Words(f"少数 n = {found['n']:.0f}", f"small sample n = {found['n']:.0f}")] if few else [],
    }


def _broken(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": decision_words(group.get("label")),
        "members": [(decision_words(m.get("decision")), plain(m.get("text"))) for m in mappings(group.get("members"))],
    }


def decision_words(value: Any) -> Words:
    return DECISION_WORDS.get(str(value), Words(plain(value)))
