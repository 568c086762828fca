"""Curves over optimizer steps, with what happened marked on them, and the rotation of every layer as a strip of shades.

Every function is pure and returns one <svg> with <title> and <desc>, as plots.py does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.plots import WIDTH
from so8t.report.summary import width
from so8t.report.svg import BLUE, INK, MUTED, RED, RULE
from so8t.report.training_log import Point
from so8t.report.training_series import thinned

WIDE, LEFT, MARGIN = 1080, 62, 14
BUCKETS = {WIDTH: 220, WIDE: 500}  # runs of steps that a narrow and a wide curve are thinned to
FAINT = "#8fb0cf"
MOST_MARKS, TICK_ROWS = 80, 3
CELLS = 3000  # of a strip, about
COLUMN = 6.2  # user units of a terminal column at the size of a mark's label
STEP = Words("学習ステップ", "training step")
STROKES: dict[str, tuple[str, float, str]] = {
    "raw": (FAINT, 1.0, ""), "main": (BLUE, 2.2, ""), "second": (INK, 1.8, "5 4"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: points in order of steps. raw = thin behind the others, second = dashed."""

    label: Words
    points: Sequence[Point]
    look: Literal["raw", "main", "second"] = "main"


@dataclass(frozen=True, slots=True)
class Mark:
    """What happened at a step: a vertical with a short sign that needs no language, or a tick on the axis."""

    step: float
    sign: str
    look: Literal["line", "alarm", "tick"] = "line"


def trace(
    lines: Sequence[Line], marks: Sequence[Mark] = (), *, title: Words, first: str = "ja", logarithmic: bool = False,
    wide: bool = False, spots: Sequence[Point] = (), reach: tuple[float, ...] = (), ceiling: float | None = None,
) -> str:  # fmt: skip
    """Lines over steps with their legend; `spots` are single measured points, `reach` values that the axis must show.

    What lies above `ceiling` is drawn at the upper edge, in red, and said. A log axis is drawn where it is asked for,
    or where values span more than two decades, if all are above zero. Raises ValueError for what is not finite.
    """
    every = [p for line in lines for p in line.points] + list(spots)
    svg.finite(*(v for p in every for v in p), *(m.step for m in marks))
    total, height = (WIDE, 300) if wide else (WIDTH, 190)
    xs = svg.span([x for x, _ in every])
    shown = [m for m in marks if xs[0] <= m.step <= xs[1]]
    scale = _scale([min(y, ceiling) if ceiling is not None else y for _, y in every] + list(reach), logarithmic)
    flags = _flags(shown, lambda step: LEFT + (total - LEFT - MARGIN) * (step - xs[0]) / (xs[1] - xs[0]), total)
    top = (24 if len(lines) > 1 else 8) + 14 * (1 + max((row for _, _, row in flags), default=-1))
    axes = svg.Axes(LEFT, top, total - LEFT - MARGIN, height, xs, (scale.ticks[0], scale.ticks[-1]))
    out = axes.grid(svg.ticks(*xs, inside=True), scale.ticks, scale.write, _whole)
    out += [_stroke(axes, line, scale, BUCKETS[total]) for line in lines]
    out += _marks(axes, shown, flags)
    out += [svg.circle(axes.x(x), axes.y(scale.place(y)), 4.5, svg.WHITE, INK) for x, y in spots]
    out += _legend(lines, first)
    out += _over(axes, every, scale, first)
    if scale.logarithmic:
        log = Words("対数目盛", "log scale")
        out.append(svg.text(axes.right - 6, top + 14, log, first, "end", MUTED, 11, halo=True))
    out.append(svg.text((LEFT + axes.right) / 2, top + height + 34, STEP, first, "middle", MUTED, 12))
    note = "; ".join(_spell(line, first) for line in lines) or "-"
    return svg.document(total, top + height + 42, title, Words(note), out, first)


@dataclass(frozen=True, slots=True)
class _Scale:
    """How values are placed on the y axis, and the ticks of it in those places."""

    logarithmic: bool
    ticks: list[float]

    def place(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def write(self, place: float) -> str:
        return _value(10**place if self.logarithmic else place)


def _scale(values: Sequence[float], asked: bool) -> _Scale:
    positive = bool(values) and min(values) > 0
    if not positive or not (asked or max(values) / min(values) > 100):
        return _Scale(False, svg.ticks(*svg.span(values)))
    low, high = math.floor(math.log10(min(values)) * 3) / 3, math.ceil(math.log10(max(values)) * 3) / 3
    places = [math.log10(v) for v in _round_values(low, max(high, low + 1 / 3))]
    return _Scale(True, places)


def _round_values(low: float, high: float) -> list[float]:
    """1, 2, 5 x 10^k around the powers of ten `low` to `high`; powers alone, or every other, where they are many."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    if len(decades) > 4:
        return sorted({10.0**k for k in (*decades[:: math.ceil(len(decades) / 8)], decades[-1])})
    values = [m * 10.0**k for k in decades for m in (1, 2, 5)]
    below = max((v for v in values if math.log10(v) <= low + 1e-9), default=values[0])
    above = min((v for v in values if math.log10(v) >= high - 1e-9), default=values[-1])
    return [v for v in values if below <= v <= above]


def _stroke(axes: svg.Axes, line: Line, scale: _Scale, buckets: int) -> str:
    colour, thick, dash = STROKES[line.look]
    drawn = [(axes.x(x), max(axes.top, axes.y(scale.place(y)))) for x, y in thinned(line.points, buckets)]
    if len(drawn) == 1:
        return svg.circle(*drawn[0], 3.5, colour, colour)
    return svg.path(drawn, colour, thick, dash)


def _over(axes: svg.Axes, every: Sequence[Point], scale: _Scale, first: str) -> list[str]:
    """Red ticks at the upper edge where values lie above it, and the highest of them in words."""
    found = [(x, y) for x, y in every if scale.place(y) > axes.ys[1] * (1 + 1e-12)]
    if not found:
        return []
    at, most = max(found, key=lambda p: p[1])
    places = sorted({round(axes.x(x)) for x, _ in found})
    out = [svg.line(x, axes.top, x, axes.top + 6, RED, 2) for x in places]
    words = Words(f"枠の外: 最大 {_value(most)}", f"off the scale: up to {_value(most)}")
    needed, x = COLUMN * sum(width(text) for _, text in words.ordered(first)), axes.x(at)
    if x + needed < axes.right:
        x, near = x + 6, "start"
    else:
        x, near = (x - 6 if x - needed > axes.left else axes.right - 4), "end"
    return [*out, svg.text(x, axes.top + 30, words, first, near, RED, 11, halo=True)]


def _flags(marks: Sequence[Mark], x: Callable[[float], float], total: float) -> list[tuple[Mark, float, int]]:
    """(mark, x, row) of the signs that find room above the plot; the lines of the others stay without."""
    placed: list[tuple[Mark, float, int]] = []
    for mark in sorted((m for m in marks if m.look != "tick" and m.sign), key=lambda m: (m.look != "alarm", m.step)):
        half = COLUMN * width(mark.sign) / 2 + 2
        at = min(max(x(mark.step), LEFT + half - 4), total - half)
        row = next((r for r in range(TICK_ROWS) if _free(placed, r, at, half)), None)
        if row is not None:
            placed.append((mark, at, row))
    return placed


def _free(placed: Sequence[tuple[Mark, float, int]], row: int, at: float, half: float) -> bool:
    return all(r != row or abs(x - at) >= half + COLUMN * width(m.sign) / 2 + 2 for m, x, r in placed)


def _marks(axes: svg.Axes, marks: Sequence[Mark], flags: Sequence[tuple[Mark, float, int]]) -> list[str]:
    bottom, out = axes.top + axes.height, []
    ticks = [m for m in marks if m.look == "tick"]
    for m in ticks[:: math.ceil(len(ticks) / MOST_MARKS) or 1]:
        out.append(svg.line(axes.x(m.step), bottom - 7, axes.x(m.step), bottom, INK, 1.2))
    for look, colour, dash in (("line", MUTED, "3 3"), ("alarm", RED, "")):
        found = [m for m in marks if m.look == look]
        for m in found[:: math.ceil(len(found) / MOST_MARKS) or 1]:
            out.append(svg.line(axes.x(m.step), axes.top, axes.x(m.step), bottom, colour, 1.2, dash))
    for m, x, row in flags:
        alarm = m.look == "alarm"
        y = axes.top - 5 - 14 * row
        out.append(svg.text(x, y, m.sign, "", "middle", RED if alarm else INK, 11, bold=alarm))
    return out


def _legend(lines: Sequence[Line], first: str) -> list[str]:
    """The names of several lines beside their strokes, in one row above everything; a single one has the title."""
    out, x = [], float(LEFT)
    for line in lines if len(lines) > 1 else ():
        colour, thick, dash = STROKES[line.look]
        out.append(svg.line(x, 8, x + 20, 8, colour, max(thick, 1.6), dash))
        out.append(svg.text(x + 26, 12, line.label, first, "start", INK, 12))
        x += 26 + 6.4 * sum(width(text) for _, text in line.label.ordered(first)) + 20
    return out


def angle_strip(rows: Sequence[tuple[float, Sequence[float]]], *, title: Words, first: str = "ja") -> str:
    """Degrees of rotation by layer (rows, the first on top) and step (columns), the darker the larger.

    `rows` are (step, degrees of each layer), not empty and all as long. Raises ValueError for what is not finite.
    """
    svg.finite(*(v for step, values in rows for v in (step, *values)))
    layers, columns = len(rows[0][1]), _columns(rows)
    most = max(max(values) for _, values in rows) or 1.0
    high = max(7.0, min(26.0, 260 / layers))
    axes = svg.Axes(LEFT, 44, WIDTH - LEFT - MARGIN, high * layers, svg.span([s for s, _ in rows]), (0.0, 1.0))
    out = _scale_bar(most, first)
    for layer in range(layers):
        out += _strip(axes, [values[layer] / most for values in columns], 44 + layer * high, high)
    every = math.ceil(layers / (axes.height / 14))
    for layer in range(0, layers, every):
        out.append(svg.text(LEFT - 6, 44 + (layer + 0.5) * high + 4, str(layer), "", "end", MUTED, 11))
    out.append(svg.text(LEFT - 6, 38, Words("層", "layer"), first, "end", MUTED, 11))
    out.append(svg.rect(LEFT, 44, axes.width, axes.height, "none", RULE))
    bottom = 44 + axes.height
    for step in svg.ticks(*axes.xs, inside=True):
        out.append(svg.line(axes.x(step), bottom, axes.x(step), bottom + 4, MUTED))
        out.append(svg.text(axes.x(step), bottom + 17, _whole(step), "", "middle", MUTED, 11))
    out.append(svg.text((LEFT + axes.right) / 2, bottom + 34, STEP, first, "middle", MUTED, 12))
    last = ", ".join(f"{layer}: {_value(v)}°" for layer, v in enumerate(rows[-1][1]))
    return svg.document(WIDTH, bottom + 42, title, Words(f"{_whole(rows[-1][0])} — {last}"), out, first)


def _columns(rows: Sequence[tuple[float, Sequence[float]]]) -> list[list[float]]:
    """Degrees by column of equal width in steps: those of the last row that lies in it or before it."""
    low, high = svg.span([step for step, _ in rows])
    out, i = [], 0
    count = min(len(rows), max(30, min(90, CELLS // len(rows[0][1]))))
    for k in range(count):
        edge = low + (high - low) * (k + 1) / count
        while i + 1 < len(rows) and rows[i + 1][0] <= edge:
            i += 1
        out.append(list(rows[i][1]))
    return out


def _strip(axes: svg.Axes, shares: Sequence[float], y: float, height: float) -> list[str]:
    """One layer: equal neighbours are one rectangle, each a little wider than it is so that no seam shows."""
    shades = [_shade(share) for share in shares]
    step, out, start = axes.width / len(shades), [], 0
    for i in range(1, len(shades) + 1):
        if i == len(shades) or shades[i] != shades[start]:
            wide = min((i - start) * step + 0.4, axes.width - start * step)
            out.append(svg.rect(axes.left + start * step, y, wide, height, shades[start]))
            start = i
    return out


def _shade(share: float) -> str:
    """White to blue in 24 steps; the lightness alone carries the meaning."""
    level = round(24 * min(1.0, max(0.0, share))) / 24
    return "#" + "".join(f"{round(255 + (end - 255) * level):02x}" for end in (31, 78, 121))


def _scale_bar(most: float, first: str) -> list[str]:
    cells = [svg.rect(LEFT + i * 8, 6, 8.4, 12, _shade(i / 15)) for i in range(16)]
    label = Words("回転角", "rotation angle")
    return [
        *cells, svg.rect(LEFT, 6, 128.4, 12, "none", RULE), svg.text(LEFT - 6, 16, "0°", "", "end", MUTED, 11),
        svg.text(LEFT + 136, 16, f"{_value(most)}°", "", "start", MUTED, 11),
        svg.text(WIDTH - MARGIN, 16, label, first, "end", INK, 12, bold=True),
    ]  # fmt: skip


def _spell(line: Line, first: str) -> str:
    if not line.points:
        return f"{line.label.plain(first)}: -"
    (x0, y0), (x1, y1) = line.points[0], line.points[-1]
    ends = f"{_value(y0)} ({_whole(x0)}) -> {_value(y1)} ({_whole(x1)})"
    return f"{line.label.plain(first)}: {ends}, n={len(line.points)}"


def _whole(value: float) -> str:
    """A step: 40,000 rather than 4e+04."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def _value(value: float) -> str:
    text = f"{value:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
