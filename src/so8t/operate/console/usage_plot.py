"""Requests by day and decision as one SVG: columns in three shades with frames, readable in grey."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from so8t.core.types import DECISIONS
from so8t.operate.console.usage import Day
from so8t.report import svg
from so8t.report.count_plots import FILLS
from so8t.report.figures import DECISION_WORDS, Words

HEIGHT, LEFT, TOP = 190, 46, 30
WIDE, NARROW = 880, 420  # user units; a telephone gets the last week alone, so that it can be read there
SHADES = dict(zip((d.value for d in DECISIONS), FILLS, strict=True))  # as the bars beside it
TITLE = Words("一日ごとの依頼", "Requests a day")


def day_columns(days: Sequence[tuple[date, Day]], lang: str, width: int = WIDE) -> str:
    """One column a day, ALLOW at the bottom. The counts stand in the table beside it."""
    most = max((sum(day.decisions.values()) for _, day in days), default=0)
    ticks = [t for t in svg.ticks(0, max(4, most)) if t == int(t)]
    axes = svg.Axes(LEFT, TOP, width - LEFT - 8, HEIGHT, (0, max(1, len(days))), (0, ticks[-1]))
    out = _legend(lang) + axes.grid([], ticks, lambda v: f"{v:,.0f}")
    for i, (day, counted) in enumerate(days):
        out += _column(axes, i, counted)
        middle = axes.x(i + 0.5)
        out.append(svg.text(middle, TOP + HEIGHT + 17, f"{day.month}/{day.day}", "", "middle", svg.MUTED, 11.5))
    spelled = "; ".join(f"{day.month}/{day.day}: {sum(c.decisions.values())}" for day, c in days)
    return svg.document(width, TOP + HEIGHT + 26, TITLE.only(lang), Words(spelled), out, lang)


def _column(axes: svg.Axes, place: int, counted: Day) -> list[str]:
    out, left, base = [], axes.x(place + 0.18), 0
    for decision, shade in SHADES.items():
        n = counted.decisions[decision]
        if n:
            top = axes.y(base + n)
            out.append(svg.rect(left, top, axes.x(place + 0.82) - left, axes.y(base) - top, shade, svg.BLUE))
        base += n
    return out


def _legend(lang: str) -> list[str]:
    out, x = [], float(LEFT)
    for decision, fill in SHADES.items():
        out.append(svg.rect(x, 6, 13, 13, fill, svg.BLUE))
        out.append(svg.text(x + 19, 17, DECISION_WORDS[decision].only(lang), "", "start", svg.INK, 12.5))
        x += 110
    return out
