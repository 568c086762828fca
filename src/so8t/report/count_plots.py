"""Plots of counts: bars in parts with a quota mark, and histograms below each other. Pure, as plots.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.plots import WIDTH
from so8t.report.svg import BLUE, INK, MUTED, PALE, RULE, WHITE

FILLS = (BLUE, PALE, WHITE)  # of the parts of a bar; all have a frame, so that grey prints tell them apart
LEFT, WIDE = 12, 416
QUOTA = Words("割当て", "quota")


@dataclass(frozen=True, slots=True)
class CountBar:
    """One bar: its name, the counts of its parts, and how many there should be (0 = no quota)."""

    label: Words | str
    parts: tuple[int, ...]
    quota: int = 0


def count_bars(rows: Sequence[CountBar], parts: Sequence[Words], *, title: Words, first: str = "ja") -> str:
    """A bar a row, its parts in the order of `parts`; the quota is a dashed line. Raises ValueError for bad counts."""
    svg.finite(*(float(v) for row in rows for v in (*row.parts, row.quota)))
    if any(v < 0 for row in rows for v in (*row.parts, row.quota)):
        raise ValueError("negative count")
    most = max((max(sum(row.parts), row.quota) for row in rows), default=0) or 1
    top, step = (34 if len(parts) > 1 else 12), 42
    out = _legend(parts, first) if len(parts) > 1 else []
    for i, row in enumerate(rows):
        y = top + i * step
        tail = f"{sum(row.parts):,}" + (f" / {row.quota:,}" if row.quota else "")
        out.append(svg.text(LEFT, y + 14, row.label, first, "start", INK, 13))
        out.append(svg.text(LEFT + WIDE, y + 14, tail, "", "end", INK, 12))
        x = float(LEFT)
        for value, fill in zip(row.parts, FILLS, strict=False):
            width = WIDE * value / most
            out.append(svg.rect(x, y + 20, width, 14, fill, BLUE, 1))
            x += width
        if row.quota:
            mark = LEFT + WIDE * row.quota / most
            out.append(svg.line(mark, y + 17, mark, y + 37, INK, 1.6, "4 3"))
    spelled = "; ".join(f"{svg.plain(row.label, first)}: {'+'.join(map(str, row.parts))}" for row in rows) or "-"
    return svg.document(WIDTH, top + len(rows) * step + 6, title, Words(spelled), out, first)


def histogram(
    series: Sequence[tuple[Words, Sequence[tuple[float, int]]]], *, title: Words, unit: Words,
    step: float, first: str = "ja",
) -> str:  # fmt: skip
    """Counts by the lower edge of their bins of width `step`, one panel a series below each other, on one x axis."""
    edges = sorted({float(x) for _, bins in series for x, _ in bins})
    svg.finite(*edges, *(float(n) for _, bins in series for _, n in bins))
    low, high = (min(0.0, edges[0]), edges[-1] + step) if edges else (0.0, 1.0)
    height, out = 96, []
    for i, (words, bins) in enumerate(series):
        most = max((n for _, n in bins), default=0) or 1
        axes = svg.Axes(44, 24 + i * (height + 30), 384, height - 14, (low, high), (0, most))
        out.append(svg.text(44, axes.top - 6, words, first, "start", INK, 12, tail=f"  n={sum(n for _, n in bins):,}"))
        out += [svg.rect(axes.left, axes.top, axes.width, axes.height, WHITE, RULE)]
        out.append(svg.text(axes.left - 6, axes.top + 8, f"{most:,}", "", "end", MUTED, 11))
        for x, n in bins:
            left, right = axes.x(float(x)), axes.x(float(x) + step)
            out.append(svg.rect(left, axes.y(n), right - left, axes.top + axes.height - axes.y(n), PALE, BLUE, 0.8))
    bottom = 24 + len(series) * (height + 30) - 30
    for v in svg.ticks(low, high, inside=True):
        x = 44 + 384 * (v - low) / (high - low)
        out.append(svg.text(x, bottom + 4, f"{v:g}", "", "middle", MUTED, 11))
    out.append(svg.text(44 + 192, bottom + 20, unit, first, "middle", MUTED, 12))
    spelled = "; ".join(f"{words.plain(first)}: {sum(n for _, n in bins)}" for words, bins in series) or "-"
    return svg.document(WIDTH, bottom + 28, title, Words(spelled), out, first)


def _legend(parts: Sequence[Words], first: str) -> list[str]:
    out = []
    for i, (words, fill) in enumerate(zip(parts, FILLS, strict=False)):
        x = LEFT + i * WIDE / len(parts)
        out.append(svg.rect(x, 6, 12, 12, fill, BLUE, 1))
        out.append(svg.text(x + 18, 16, words, first, "start", MUTED, 12))
    return out
