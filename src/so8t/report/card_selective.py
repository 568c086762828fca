"""Section "selective" of a card: how many requests people get, and what still goes wrong without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from so8t.report.figures import FIGURES, NONE, Figure, Words, count, decimal, number, percent
from so8t.report.reading import cell, mapping, mappings
from so8t.report.risk_plot import Risk, risk_coverage

WRONG = Figure(
    "wrong", Words("誤り", "Wrong"), ("wrong",), "lower", "percent", True,
    meaning=Words("人を介さずに決めたもののうち誤り", "Wrong among what is decided without a person"),
)  # fmt: skip
COLUMNS: tuple[Figure, ...] = (WRONG, *(FIGURES[n] for n in ("false_allow", "danger_allowed", "over_refusal")))

LEGEND = Words(
    "。".join(f"{f.words.ja} = {f.meaning.ja}" for f in COLUMNS) + "。",
    "; ".join(f"{f.words.en}: {f.meaning.en}" for f in COLUMNS) + ".",
)


def selective(result: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Curve, table of operating points, and in words what the budget moves and what it cannot."""
    found = mapping(result.get("selective"))
    rows = [row for row in map(_row, mappings(found.get("operating"))) if row]
    curves = [_curve(found, name) for name in ("wrong", "wrong_allow")]
    if not rows:
        return {}
    return {
        "plot": Markup(risk_coverage(curves[0], curves[1], first=first)) if curves[0] else "",
        "columns": [f.words for f in COLUMNS],
        "legend": LEGEND,
        "rows": rows,
        "per_day": count(found.get("requests_per_day")),
        "facts": _facts(found),
        "notes": _notes(found),
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any] | None:
    share, humans = number(row.get("share")), number(mapping(row.get("humans")).get("value"))
    if share is None or humans is None:
        return None
    name = (
        Words("このまま", "as shipped")
        if share == 0
        else Words(f"さらに {100 * share:.0f} %", f"{100 * share:.0f} % more")
    )
    return {
        "name": name,
        "exhausted": row.get("exhausted") is True,
        "confidence": f"≤ {decimal(row.get('confidence'), 2)}" if number(row.get("confidence")) is not None else NONE,
        "humans": f"{100 * humans:.0f}",
        "per_day": count(row.get("per_day")),
        "cells": [cell(f, mapping(row.get(f.name))) for f in COLUMNS],
    }


def _curve(found: Mapping[str, Any], name: str) -> list[Risk]:
    points = []
    for point in mappings(found.get("curve")):
        part = mapping(point.get(name))
        numbers = [number(v) for v in (point.get("coverage"), part.get("value"), part.get("low"), part.get("high"))]
        if all(v is not None and 0 <= v <= 1 for v in numbers):
            points.append(Risk(*(v or 0.0 for v in numbers)))
    return points


def _facts(found: Mapping[str, Any]) -> list[tuple[Words, str]]:
    aurc = mapping(found.get("aurc"))

    def shown(part: Any) -> str:
        value, low, high = (number(mapping(part).get(k)) for k in ("value", "low", "high"))
        if value is None:
            return NONE
        return decimal(value) + (f" ({decimal(low)}–{decimal(high)})" if low is not None and high is not None else "")

    rows = [
        (Words("AURC 誤り", "AURC, wrong"), shown(aurc.get("wrong"))),
        (Words("AURC 誤って許可", "AURC, wrongly allowed"), shown(aurc.get("wrong_allow"))),
        (Words("確信度が無意味なら(誤り)", "If confidence meant nothing (wrong)"), decimal(aurc.get("unsorted"))),
        (Words("これ以上はない値(誤り)", "The best possible (wrong)"), decimal(aurc.get("best"))),
    ]
    return [(words, text) for words, text in rows if text != NONE]


def _notes(found: Mapping[str, Any]) -> list[Words]:
    deny, wrong, escalate = (number(found.get(k)) for k in ("fixed_deny", "fixed_deny_wrong", "fixed_escalate"))
    notes = []
    if deny is not None and wrong is not None:
        notes.append(
            Words(
                f"絶対規則が拒否と決めた {deny:.0f} 件は、どの行でも拒否のままです。人が覆せない判定なので、"
                f"人の時間を使いません(うち誤り {wrong:.0f} 件は、規則を直さない限り残ります)。",
                f"{deny:.0f} requests that a hard rule denied stay denied in every row: nobody may lift them, so "
                f"nobody’s time is spent on them ({wrong:.0f} of them are wrong until the rule is mended).",
            )
        )
    if escalate is not None:
        notes.append(
            Words(
                f"絶対規則が人へ回すと決めた {escalate:.0f} 件と、三者の合議が人へ回すと決めたものは、"
                "どの行でも人へ行きます。回す量はこれより減らせません。",
                f"{escalate:.0f} requests that a hard rule escalates, and those that the three judges escalate, go to "
                "a person in every row: the budget cannot be smaller than these.",
            )
        )
    return [*notes, *_mix_note(found)]


def _mix_note(found: Mapping[str, Any]) -> list[Words]:
    mix = found.get("mix")
    shares = [number(v) for v in mix] if isinstance(mix, list) else []
    if len(shares) != 3 or any(v is None for v in shares):
        return []
    a, e, d = (percent(v) for v in shares)
    if found.get("mix_given") is True:
        ja = f"設定 prove.mix の割合(許可 {a}、人へ回す {e}、拒否 {d})で届くものとして重みを付けた値です。"
        return [Words(ja, f"Weighted as if requests came as prove.mix says: ALLOW {a}, ESCALATE {e}, DENY {d}.")]
    return [
        Words(
            f"試験用の依頼は許可 {a}、人へ回す {e}、拒否 {d} です。実際の業務では問題のない依頼がずっと多いはずなので、"
            "人へ回る件数も誤許可率も違ってきます。設定 prove.mix に自社の割合を書けば、それで計算します。",
            f"The test requests are ALLOW {a}, ESCALATE {e}, DENY {d}. Real work holds many more harmless ones, so "
            "the share that people get and false allow will differ. Put your own shares into prove.mix.",
        )
    ]
