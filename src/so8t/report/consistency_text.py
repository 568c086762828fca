"""The consistency of a decision log as text for a terminal, with the like requests that were judged differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t.report.card_consistency import SCORE, decision_words, figure_row, share_figure
from so8t.report.figures import NONE, Figure, Words, count, number, percent
from so8t.report.reading import mapping, mappings, plain
from so8t.report.summary import printable, table

WEIGHTED = share_figure(
    "weighted", "依頼ごとに数えた一貫性", "Counted once a request",
    "似ているほど重く、一件を一回と数える。何度も聞かれた一つの依頼に左右されない",
    "Weighted by likeness, each request once: a much-asked one decides nothing",
)  # fmt: skip
APART = share_figure(
    "told_apart", "正解の違う似た依頼の見分け", "Like requests with different labels told apart",
    "似ているが正解が違う組に違う判定を出した割合", "Like requests with different labels that were judged differently",
)  # fmt: skip


PARTS = (
    ("early", Words("  前半どうし", "  both early")),
    ("across", Words("  前半と後半", "  early and late")),
    ("late", Words("  後半どうし", "  both late")),
    ("same_version", Words("  同じ方針とモデル", "  same policy and model")),
    ("other_version", Words("  違う方針かモデル", "  other policy or model")),
)


def log_table(found: Mapping[str, Any], lang: str = "ja") -> str:
    """The figures of prove.consistency.consistency for a terminal, with the pairs that disagree."""
    rows = [_line(f, found.get(f.name), lang) for f in (SCORE, WEIGHTED, APART)]
    rows += [_line(_part(_band(band)), band, lang) for band in mappings(found.get("bands"))]
    parts = {**mapping(found.get("over_time")), **found}
    rows += [_line(_part(words), parts.get(key), lang) for key, words in PARTS]
    ja, en = ["項目", "値", "95 % 区間", "組", "計画"], ["figure", "value", "95 %", "pairs", "plan"]
    lines = [table([r for r in rows if r], ja if lang == "ja" else en)]
    return "\n".join([*lines, *_remarks(found, lang), *_worst(found, lang)])


def _part(words: Words) -> Figure:
    return Figure("part", words, (), "higher", "percent")


def _band(band: Mapping[str, Any]) -> Words:
    low, high = (percent(band.get(k)).replace(".0 %", " %") for k in ("from", "to"))
    if low == high:
        return Words(f"  似ている度合い {low}", f"  likeness {low}")
    return Words(f"  似ている度合い {low}〜{high}", f"  likeness {low} to {high}")


def _line(f: Figure, part: Any, lang: str) -> list[str]:
    row = figure_row(f, part)
    if not row:
        return [f.words.only(lang), NONE, "", "0", f.write_bound(f.plan, strict=True)] if f.plan else []
    return [f.words.only(lang), row["value"], row["interval"], row["n"], "" if row["target"] == NONE else row["target"]]


def _remarks(found: Mapping[str, Any], lang: str) -> list[str]:
    chance, capped = number(found.get("by_chance")), number(found.get("capped")) or 0
    n, groups = count(found.get("n")), count(found.get("groups"))
    words = [Words(f"判定 {n} 件、似た依頼のまとまり {groups} 個", f"{n} decisions, {groups} groups of like requests")]
    if chance is not None:
        words.append(
            Words(
                f"無関係な二件が同じ判定になる割合 {percent(chance)}", f"two unrelated ones agree in {percent(chance)}"
            )
        )
    if capped:
        words.append(
            Words(
                f"{count(capped)} 件は似た依頼が多すぎ、近いものだけを比べました",
                f"{count(capped)} had too many like requests: only the nearest were compared",
            )
        )
    if left_out := number(found.get("left_out")) or 0:
        words.append(
            Words(
                f"{count(left_out)} 件は、本文が消されているか空か、判定できなかったため、入れていません",
                f"{count(left_out)} are left out: their text was erased or is empty, or they could not be judged",
            )
        )
    return [w.only(lang) for w in words]


def _worst(found: Mapping[str, Any], lang: str) -> list[str]:
    pairs = mappings(found.get("worst"))
    if not pairs:
        return []
    lines = [Words("判定が割れた似た依頼:", "Like requests judged differently:").only(lang)]
    for pair in pairs:
        lines.append(f"- {percent(pair.get('likeness'))}")
        for one in mappings(pair.get("pair")):
            name, text = (printable(plain(one.get(k))) for k in ("id", "text"))
            lines.append(f"    {decision_words(one.get('decision')).only(lang)}  {name}  {text}")
    return lines
