"""Plots of counts: bars in parts with a quota, shares of a whole, histograms, a table in shades. Pure, as plots.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.plots import WIDTH
from so8t.report.summary import width
from so8t.report.svg import BLUE, INK, MUTED, PALE, RULE, WHITE

FILLS = (BLUE, PALE, WHITE)  # of the parts of a bar; all have a frame, so that grey prints tell them apart
SHADES = (WHITE, PALE, "#a9c3dc", "#4a78a3", BLUE)  # of fifths of a whole: the lightness alone carries the meaning
LEFT, WIDE = 12, 416
COLUMN = 6.8  # user units of one terminal column at the size of a label


@dataclass(frozen=True, slots=True)
class CountBar:
    """One bar: its name, the counts of its parts, and how many its first part should have (0 = no quota)."""

    label: Words | str
    parts: tuple[int, ...]
    quota: int = 0


def count_bars(rows: Sequence[CountBar], parts: Sequence[Words], *, title: Words, first: str = "ja") -> str:
    """A bar a row, its parts in the order of `parts`; the quota of the first part is a dashed line.

    With a quota the figure beside the bar is the first part against it, else the sum. Raises ValueError for counts
    that are negative or not finite.
    """
    _check(rows)
    most = max((max(sum(row.parts), row.quota) for row in rows), default=0) or 1
    top, step = (34 if len(parts) > 1 else 4), 42
    out = _legend(parts, first) if len(parts) > 1 else []
    for i, row in enumerate(rows):
        y = top + i * step
        out += _named(row.label, f"{row.parts[0]:,} / {row.quota:,}" if row.quota else f"{sum(row.parts):,}", y, first)
        out += _stack(row.parts, most, y)
        if row.quota:
            mark = LEFT + WIDE * row.quota / most
            out.append(svg.line(mark, y + 17, mark, y + 37, INK, 1.6, "4 3"))
    return svg.document(WIDTH, top + len(rows) * step + 6, title, Words(_spell(rows, first)), out, first)


def share_bars(rows: Sequence[CountBar], parts: Sequence[Words], *, title: Words, first: str = "ja") -> str:
    """Every bar is a whole, its parts shares of it with their per cent. Raises ValueError as count_bars does."""
    _check(rows)
    top, step = 34, 42
    out = _legend(parts, first)
    for i, row in enumerate(rows):
        y, total = top + i * step, sum(row.parts)
        out += _named(row.label, f"n={total:,}", y, first)
        out += _stack(row.parts, total or 1, y)
        x = float(LEFT)
        for value, fill in zip(row.parts, FILLS, strict=False):
            wide = WIDE * value / (total or 1)
            if wide > 36:  # else the figure would not fit
                ink = WHITE if fill == BLUE else INK
                out.append(svg.text(x + wide / 2, y + 31, f"{100 * value / total:.0f} %", "", "middle", ink, 11))
            x += wide
    return svg.document(WIDTH, top + len(rows) * step + 6, title, Words(_spell(rows, first)), out, first)


def histogram(
    series: Sequence[tuple[Words, Sequence[tuple[float, int]]]], *, title: Words, unit: Words,
    step: float, first: str = "ja",
) -> str:  # fmt: skip
    """Counts by the lower edge of their bins of width `step`, one panel a series below each other, on one x axis."""
    edges = sorted({float(x) for _, bins in series for x, _ in bins})
    svg.finite(*edges, *(float(n) for _, bins in series for _, n in bins))
    low, high = (min(0.0, edges[0]), edges[-1] + step) if edges else (0.0, 1.0)
    height, out = 110, []
    for i, (words, bins) in enumerate(series):
        most = max((n for _, n in bins), default=0) or 1
        axes = svg.Axes(58, 24 + i * (height + 30), 370, height - 14, (low, high), (0, most))
        out.append(svg.text(58, axes.top - 6, words, first, "start", INK, 12, tail=f"  n={sum(n for _, n in bins):,}"))
        out += axes.grid([], [0, most], lambda v: f"{v:,.0f}")
        for x, n in bins:
            left, right = axes.x(float(x)), axes.x(float(x) + step)
            out.append(svg.rect(left, axes.y(n), right - left, axes.top + axes.height - axes.y(n), PALE, BLUE, 0.8))
    bottom = 24 + len(series) * (height + 30) - 30
    for v in svg.ticks(low, high, inside=True):
        out.append(svg.text(58 + 370 * (v - low) / (high - low), bottom + 4, f"{v:g}", "", "middle", MUTED, 11))
    out.append(svg.text(58 + 185, bottom + 20, unit, first, "middle", MUTED, 12))
    spelled = "; ".join(f"{words.plain(first)}: {sum(n for _, n in bins)}" for words, bins in series) or "-"
    return svg.document(WIDTH, bottom + 28, title, Words(spelled), out, first)


def shaded_table(
    rows: Sequence[Words], columns: Sequence[Words], cells: Mapping[tuple[int, int], Sequence[int]],
    parts: Sequence[str], *, title: Words, sides: tuple[Words, Words], first: str = "ja",
) -> str:  # fmt: skip
    """Counts of each part in each cell (row, column), shaded by the part's share of its cell.

    `sides` says what the rows and the columns are. A cell without counts is left blank. Raises ValueError for counts
    that are negative or not finite.
    """
    _check([CountBar("", tuple(found)) for found in cells.values()])
    left, top, high = 104, 64, 17
    wide, step = (WIDTH - left - 4) / max(1, len(columns)), high * len(parts) + 8
    out = svg.stack(8, 20, sides[0], first, "start", MUTED, 12)
    out.append(svg.text(left + (WIDTH - left) / 2, 16, sides[1], first, "middle", MUTED, 12))
    for c, words in enumerate(columns):
        out += svg.stack(left + (c + 0.5) * wide, 38, words, first, "middle")
    for r, words in enumerate(rows):
        out += svg.stack(left - 10, top + r * step + step / 2 - 4, words, first, "end")
    for (r, c), found in cells.items():
        out += _cell(left + c * wide, top + r * step, wide - 4, high, found, parts)
    bottom = top + len(rows) * step
    out += _shades(left, bottom + 6)
    spelled = (
        f"{rows[r].plain(first)} x {columns[c].plain(first)}: {'+'.join(map(str, found))}"
        for (r, c), found in sorted(cells.items())
    )
    return svg.document(WIDTH, bottom + 44, title, Words("; ".join(spelled) or "-"), out, first)


def _cell(x: float, y: float, wide: float, high: float, counts: Sequence[int], parts: Sequence[str]) -> list[str]:
    total, out = sum(counts), []
    for i, (n, part) in enumerate(zip(counts, parts, strict=True)):
        shade = math.ceil(4 * n / total) if total else 0
        ink, at = WHITE if shade > 2 else INK, y + i * high
        out.append(svg.rect(x, at, wide, high, SHADES[shade], RULE))
        out.append(svg.text(x + 6, at + 13, part, "", "start", ink, 11))
        out.append(svg.text(x + wide - 6, at + 13, f"{n:,}", "", "end", ink, 12, bold=shade > 0))
    return out if total else []


def _shades(x: float, y: float) -> list[str]:
    """What the shades mean."""
    out = []
    for i, (fill, words) in enumerate(zip(SHADES, ("0", "– 25 %", "– 50 %", "– 75 %", "– 100 %"), strict=True)):
        out.append(svg.rect(x + i * 66, y, 62, 10, fill, RULE))
        out.append(svg.text(x + i * 66 + 31, y + 24, words, "", "middle", MUTED, 11))
    return out


def _check(rows: Sequence[CountBar]) -> None:
    svg.finite(*(float(v) for row in rows for v in (*row.parts, row.quota)))
    if any(v < 0 for row in rows for v in (*row.parts, row.quota)):
        raise ValueError("negative count")


def _named(label: Words | str, tail: str, y: float, first: str) -> list[str]:
    """The name of a bar and its figures above it; a name that would run into the figures is cut."""
    words = svg.both(label)
    if not words.en:  # a name from the data, of any length
        words = Words(_fitting(words.ja, int((WIDE - 12 - COLUMN * len(tail)) / COLUMN)))
    return [
        svg.text(LEFT, y + 14, words, first, "start", INK, 13),
        svg.text(LEFT + WIDE, y + 14, tail, "", "end", INK, 12),
    ]


def _fitting(text: str, columns: int) -> str:
    if width(text) <= columns:
        return text
    end = next((i for i in range(len(text), 0, -1) if width(text[:i]) < columns), 0)
    return text[:end] + "…"


def _stack(parts: Sequence[int], whole: int, y: float) -> list[str]:
    x, out = float(LEFT), []
    for value, fill in zip(parts, FILLS if len(parts) > 1 else (PALE,), strict=False):
        wide = WIDE * value / whole
        if value:
            out.append(svg.rect(x, y + 20, wide, 14, fill, BLUE, 1))
        x += wide
    return out


def _spell(rows: Sequence[CountBar], first: str) -> str:
    return "; ".join(f"{svg.plain(row.label, first)}: {'+'.join(map(str, row.parts))}" for row in rows) or "-"


def _legend(parts: Sequence[Words], first: str) -> list[str]:
    out = []
    for i, (words, fill) in enumerate(zip(parts, FILLS, strict=False)):
        x = LEFT + i * WIDE / len(parts)
        out.append(svg.rect(x, 6, 12, 12, fill, BLUE, 1))
        out.append(svg.text(x + 18, 16, words, first, "start", MUTED, 12))
    return out
