"""Differences as dots with their intervals, every figure on a scale of its own around zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from so8t.report import svg
from so8t.report.compare_words import FIGURE_WORDS, changed, interval, listed, verdict_name
from so8t.report.data_panels import harmless
from so8t.report.figures import Words, number
from so8t.report.plots import WIDTH
from so8t.report.reading import mapping
from so8t.report.svg import BLUE, INK, MUTED, PALE, RULE, WHITE

LEFT, WIDE, TOP, STEP = 12, 416, 22, 84
DIFFERENCES = Words("差と区間", "Differences with their intervals")


def differences(rows: Sequence[Mapping[str, Any]], *, title: Words = DIFFERENCES, first: str = "ja") -> str:
    """One <svg>: a thick line is the interval over seeds, a thin dashed one that over documents, small dots the pairs.

    The vertical is zero. A row without a difference is left out; a filled dot is an effect, a hollow one is none.
    """
    shown = [row for row in rows if number(row.get("mean")) is not None]
    bottom = TOP + len(shown) * STEP
    middle = LEFT + WIDE / 2
    out = [svg.text(middle, 14, Words("0(差なし)", "0, no difference"), first, "middle", MUTED, 11)]
    for i, row in enumerate(shown):
        out += _row(row, TOP + i * STEP, middle, first)
    note = "; ".join(f"{_name(r).plain(first)}: {_figures(r)}" for r in shown) or "-"
    return svg.document(WIDTH, bottom + 8, title, Words(note), out, first)


def _row(row: Mapping[str, Any], y: float, middle: float, first: str) -> list[str]:
    documents = mapping(row.get("documents"))
    pairs = [v for d in listed(row.get("differences")) if (v := number(d)) is not None]
    mean, low, high = (number(row.get(k)) for k in ("mean", "low", "high"))
    ends = [number(documents.get(k)) for k in ("low", "high")]
    reach = max((abs(v) for v in (mean, low, high, *ends, *pairs) if v is not None), default=0.0) or 1.0

    def x(value: float) -> float:
        return middle + 0.47 * WIDE * value / reach

    sure, line = row.get("verdict") == "effect", y + 58
    out = [
        svg.line(middle, line - 12, middle, line + 14, MUTED, 1.2),
        svg.line(LEFT, line + 20, LEFT + WIDE, line + 20, RULE, 0.6),
        *svg.stack(LEFT, y + 14, _name(row), first, "start"),
        *svg.stack(LEFT + WIDE, y + 14, verdict_name(row), first, "end", BLUE if sure else MUTED, 12),
        svg.text(LEFT, y + 44, changed(row, mean), "", "start", INK, 12, bold=sure),
    ]
    if low is not None and high is not None:
        out.append(svg.line(x(low), line, x(high), line, BLUE, 3))
        out += [svg.line(x(v), line - 5, x(v), line + 5, BLUE, 2) for v in (low, high)]
    if ends[0] is not None and ends[1] is not None:
        out.append(svg.line(x(ends[0]), line + 9, x(ends[1]), line + 9, MUTED, 1.4, "4 3"))
    out += [svg.circle(x(v), line, 3, PALE, MUTED) for v in pairs]
    if mean is not None:
        out.append(svg.circle(x(mean), line, 5.5, BLUE if sure else WHITE, BLUE))
    return out


def _name(row: Mapping[str, Any]) -> Words:
    name = str(row.get("name"))
    return FIGURE_WORDS.get(name, Words(harmless(name)))


def _figures(row: Mapping[str, Any]) -> str:
    return f"{changed(row, row.get('mean'))} ({interval(row)})"
