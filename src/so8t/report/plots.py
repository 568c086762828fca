"""Plots as SVG text, made on the server: no dependency, no script, legible in grey and on a telephone.

Every function is pure and returns one <svg> with <title> and <desc>. Marks differ by shape and dash as well as by
colour. Numbers that are not finite are refused with ValueError: a plot never guesses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from so8t.report import svg
from so8t.report.figures import DECISION_WORDS, SMALL_SAMPLE, Words, seconds
from so8t.report.svg import BLUE, INK, MUTED, PALE, RED, RULE, WHITE

WIDTH = 440  # fits a telephone at about 0.8, so 13-unit text stays above 10 px there
DECISIONS = tuple(DECISION_WORDS.values())
CONFUSION = Words("混同行列", "Confusion matrix")
RELIABILITY = Words("信頼度図", "Reliability diagram")
CURVES = Words("学習曲線", "Training curves")
STEP = Words("学習ステップ", "training step")
BREAKDOWN = Words("内訳", "Breakdown")
OVERALL = Words("全体", "overall")
BUDGET = Words("所要時間と予算", "Time against budget")
MAX_POINTS = 300


@dataclass(frozen=True, slots=True)
class Bin:
    """One confidence bin of a reliability diagram; all in [0, 1], `n` requests."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Series:
    """One line: (x, y) points in x order. Series of one `panel` share a y axis; panels stand below each other."""

    label: Words | str
    points: Sequence[tuple[float, float]]
    panel: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A border on the x axis, such as the start of a training phase."""

    x: float
    label: Words | str


@dataclass(frozen=True, slots=True)
class Bar:
    """One share in [0, 1] with its interval; `n` requests behind it."""

    label: Words | str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Seconds a stage took and, if it has one, its budget."""

    label: Words | str
    seconds: float
    budget: float | None = None


def confusion_matrix(
    matrix: Sequence[Sequence[int]],
    labels: Sequence[Words | str] = DECISIONS,
    *,
    title: Words | str = CONFUSION,
    danger: tuple[int, int] | None = (2, 0),
    first: str = "ja",
) -> str:
    """Counts by label (rows) and judgement (columns), shaded by share of the row.

    Right answers have a thick frame; the `danger` cell (row, column) a dashed red one and a word.
    Raises ValueError unless the matrix is square, fits the labels and holds finite counts >= 0.
    """
    size = len(labels)
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise ValueError(f"matrix is not {size} x {size}")
    svg.finite(*(v for row in matrix for v in row))
    if any(v < 0 for row in matrix for v in row):
        raise ValueError("negative count")
    left, top, cell, high = 104, 64, 88, 74
    head = Words("列: システムの判定", "columns: judged")
    side = Words("行: ラベル", "rows: label")
    out = [svg.text(left + size * cell / 2, 18, head, first, "middle", MUTED, 12)]
    out += svg.stack(8, 38, side, first, "start", MUTED, 12)
    for c, label in enumerate(labels):
        out += svg.stack(left + (c + 0.5) * cell, 38, label, first, "middle")
    out += svg.stack(left + size * cell + 34, 38, Words("計", "Total"), first, "middle", MUTED)
    for r, row in enumerate(matrix):
        total, y = sum(row), top + r * high
        out += svg.stack(left - 10, y + high / 2 - 4, labels[r], first, "end")
        for c, n in enumerate(row):
            box = (left + c * cell, y, cell, high)
            out += _cell(box, n, total, right=r == c, danger=danger == (r, c), first=first)
        out.append(svg.text(left + size * cell + 34, y + high / 2 + 5, f"{total:,}", first, "middle", MUTED, 14))
    note = " / ".join(
        f"{svg.plain(labels[r], first)}: {', '.join(f'{n:,}' for n in row)}" for r, row in enumerate(matrix)
    )
    return svg.document(WIDTH, top + size * high + 8, title, Words(note), out, first)


def _cell(
    box: tuple[float, float, float, float], n: int, total: int, *, right: bool, danger: bool, first: str
) -> list[str]:
    x, y, w, h = box
    share = n / total if total else 0.0
    ink = WHITE if share > 0.5 else INK
    out = [svg.rect(x + 2, y + 2, w - 4, h - 4, _blend(share), RULE)]
    if right:
        out.append(svg.rect(x + 3, y + 3, w - 6, h - 6, "none", INK, 2.5))
    if danger:
        out.append(svg.rect(x + 3, y + 3, w - 6, h - 6, "none", RED, 2.5, "5 3"))
        colour = WHITE if share > 0.5 else RED
        out.append(svg.text(x + w / 2, y + 17, Words("危険", "danger"), first, "middle", colour, 10, bold=True))
    out.append(svg.text(x + w / 2, y + h / 2 + 7, f"{n:,}", "", "middle", ink, 20, bold=True))
    out.append(svg.text(x + w / 2, y + h - 11, f"{100 * share:.0f} %" if total else "–", "", "middle", ink, 12))
    return out


def reliability(
    before: Sequence[Bin],
    after: Sequence[Bin],
    *,
    title: Words | str = RELIABILITY,
    first: str = "ja",
) -> str:
    """Accuracy against confidence before and after temperature, with the number of requests in each bin below.

    On the diagonal a confidence of 70 % is right 70 times in 100. Empty bins are not drawn.
    """
    for b in (*before, *after):
        svg.finite(b.low, b.high, b.n, b.confidence, b.accuracy)
    left, top, side = 52, 40, 366
    axes = svg.Axes(left, top, side, 280, (0.0, 1.0), (0.0, 1.0))
    out = axes.grid([0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.2, 0.4, 0.6, 0.8, 1], _percent)
    out.append(svg.line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), MUTED, 1.2, "2 4"))
    out += _bins(axes, before, hollow=True) + _bins(axes, after, hollow=False)
    out += _legend(left, 18, ((Words("調整前", "before"), True), (Words("調整後", "after"), False)), first)
    out.append(svg.text(left + side / 2, top + 280 + 36, Words("確信度", "confidence"), first, "middle", MUTED, 12))
    out.append(svg.text(left + 6, top + 14, Words("正解率", "accuracy"), first, "start", MUTED, 12))
    base = top + 280 + 50
    for i, (bins, name) in enumerate(((before, Words("件数(前)", "n before")), (after, Words("件数(後)", "n after")))):
        out += _counts(axes, bins, base + i * 58, name, hollow=i == 0, first=first)
    note = Words(f"調整前 {_spell(before)} 調整後 {_spell(after)}", f"before {_spell(before)} after {_spell(after)}")
    return svg.document(WIDTH, base + 2 * 58 + 4, title, note, out, first)


def _bins(axes: svg.Axes, bins: Sequence[Bin], *, hollow: bool) -> list[str]:
    points = [(axes.x(b.confidence), axes.y(b.accuracy)) for b in bins if b.n > 0]
    dash, colour = ("5 4", MUTED) if hollow else ("", BLUE)
    out = [svg.path(points, colour, 1.8, dash)]
    for x, y in points:
        out.append(svg.circle(x, y, 5, WHITE, INK) if hollow else svg.rect(x - 4.5, y - 4.5, 9, 9, BLUE, WHITE))
    return out


def _counts(axes: svg.Axes, bins: Sequence[Bin], y: float, name: Words, *, hollow: bool, first: str) -> list[str]:
    most = max((b.n for b in bins), default=0)
    out = [
        svg.text(axes.left, y + 8, name, first, "start", MUTED, 11),
        svg.line(axes.left, y + 54, axes.right, y + 54, RULE),
    ]
    for b in bins:
        if b.n <= 0:
            continue
        x, w = axes.x(b.low), max(1.5, axes.x(b.high) - axes.x(b.low) - 3)
        h = max(1.0, 26 * b.n / most)
        out.append(svg.rect(x + 1.5, y + 54 - h, w, h, WHITE if hollow else PALE, MUTED if hollow else BLUE))
        if w >= 14:  # narrow bins of equal mass would overprint each other
            out.append(svg.text(x + 1.5 + w / 2, y + 51 - h, f"{b.n}", "", "middle", INK, 10))
    return out


def _spell(bins: Sequence[Bin]) -> str:
    return "; ".join(f"{b.confidence:.2f} -> {b.accuracy:.2f} (n={b.n})" for b in bins if b.n > 0) or "-"


def curve(
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    *,
    title: Words | str = CURVES,
    x_label: Words | str = STEP,
    first: str = "ja",
) -> str:
    """Lines over training steps, one panel below the other, phase borders as dashed verticals through all of them.

    A panel whose values span more than two decades is logarithmic and says so. Long series are averaged down to
    300 points.
    """
    for s in series:
        svg.finite(*(v for point in s.points for v in point))
    svg.finite(*(m.x for m in marks))
    xs = [x for s in series for x, _ in s.points]
    span = svg.span(xs)
    panels = sorted({s.panel for s in series})
    top, height, gap = 34, 150, 46
    out: list[str] = []
    for i, panel in enumerate(panels):
        axes_top = top + i * (height + gap)
        out += _panel([s for s in series if s.panel == panel], span, axes_top, height, first)
    bottom = top + len(panels) * (height + gap) - gap
    scale = svg.Axes(58, top, 366, height, span, (0.0, 1.0))
    for m in (m for m in marks if span[0] <= m.x <= span[1]):
        x = scale.x(m.x)
        edges = [top + i * (height + gap) for i in range(len(panels))]
        out += [svg.line(x, y, x, y + height, INK, 1.2, "6 4") for y in edges]
        near = "end" if x > 360 else "start"
        out.append(svg.text(x + (4 if near == "start" else -4), top + 13, m.label, first, near, INK, 11, halo=True))
    out.append(svg.text(58 + 183, bottom + 36, x_label, first, "middle", MUTED, 12))
    note = Words("; ".join(_spell_series(s, first) for s in series) or "-")
    return svg.document(WIDTH, bottom + 46, title, note, out, first)


def _panel(series: Sequence[Series], span: tuple[float, float], top: float, height: float, first: str) -> list[str]:
    values = [y for s in series for _, y in s.points]
    logarithmic = bool(values) and min(values) > 0 and max(values) / min(values) > 100
    scaled = [math.log10(v) for v in values] if logarithmic else values
    ticks = svg.ticks(*svg.span(scaled))
    axes = svg.Axes(58, top, 366, height, span, (ticks[0], ticks[-1]))
    write = _power if logarithmic else _short
    out = axes.grid(svg.ticks(*span, inside=True), ticks, write, _short)
    for k, s in enumerate(series):
        points = [(x, math.log10(y) if logarithmic else y) for x, y in s.points]
        drawn = [(axes.x(x), axes.y(y)) for x, y in _thin(points)]
        out.append(svg.path(drawn, (BLUE, INK)[k % 2], 2, ("", "5 4")[k % 2]))
        out += [svg.circle(x, y, 3.5, BLUE, BLUE) for x, y in drawn] if len(drawn) < 3 else []
    name = [svg.both(s.label) for s in series]
    label = Words("、".join(n.ja for n in name), ", ".join(n.en or n.ja for n in name))
    suffix = Words("(対数)", " (log)") if logarithmic else Words("")
    out.append(
        svg.text(58, top - 8, Words(label.ja + suffix.ja, label.en + suffix.en), first, "start", INK, 12, bold=True)
    )
    return out


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal runs of points, so that a week of training stays a small file."""
    run = math.ceil(len(points) / MAX_POINTS) or 1
    chunks = [points[i : i + run] for i in range(0, len(points), run)]
    return [(sum(x for x, _ in c) / len(c), sum(y for _, y in c) / len(c)) for c in chunks]


def _spell_series(s: Series, first: str) -> str:
    if not s.points:
        return f"{svg.plain(s.label, first)}: -"
    (x0, y0), (x1, y1) = s.points[0], s.points[-1]
    return f"{svg.plain(s.label, first)}: {_short(y0)} ({_short(x0)}) -> {_short(y1)} ({_short(x1)}), n={len(s.points)}"


def bars(
    rows: Sequence[Bar],
    *,
    title: Words | str = BREAKDOWN,
    reference: float | None = None,
    reference_label: Words | str = OVERALL,
    first: str = "ja",
) -> str:
    """Shares from 0 to 100 % with error bars, name and figures above each bar, `reference` as a dashed vertical.

    Bars of fewer than 30 requests are hollow with a dashed frame: they are hints, not findings.
    """
    for b in rows:
        svg.finite(*(v for v in (b.value, b.low, b.high, b.n) if v is not None))
    left, wide, top, step = 12, 416, 32 if reference is not None else 12, 42
    bottom = top + len(rows) * step
    axes = svg.Axes(left, top, wide, max(1, bottom - top), (0.0, 1.0), (0.0, 1.0))
    out = [svg.line(axes.x(t / 4), top, axes.x(t / 4), bottom, RULE, 0.8) for t in range(5)]
    for i, b in enumerate(rows):
        out += _bar(axes, b, top + i * step, first)
    if reference is not None:
        svg.finite(reference)
        x = axes.x(reference)
        tops = [top - 8, *(top + i * step + 17 for i in range(len(rows)))]  # beside the words, never through them
        out += [svg.line(x, y, x, y + (8 if i == 0 else 20), INK, 1.6, "4 3") for i, y in enumerate(tops)]
        near = "end" if reference > 0.6 else "start"
        tail = f" {_percent(reference)}"
        out.append(
            svg.text(x + (4 if near == "start" else -4), top - 12, reference_label, first, near, INK, 12, tail=tail)
        )
    for t in range(5):
        anchor = "start" if t == 0 else "end" if t == 4 else "middle"
        out.append(svg.text(axes.x(t / 4), bottom + 16, _percent(t / 4), "", anchor, MUTED, 11))
    note = "; ".join(f"{svg.plain(b.label, first)}: {_bar_text(b)}" for b in rows) or "-"
    return svg.document(WIDTH, bottom + 24, title, Words(note), out, first)


def _bar(axes: svg.Axes, b: Bar, y: float, first: str) -> list[str]:
    small = b.n is not None and b.n < SMALL_SAMPLE
    width = axes.x(min(1.0, max(0.0, b.value))) - axes.left
    out = [
        svg.text(axes.left, y + 14, b.label, first, "start", INK, 13, halo=True),
        svg.text(axes.right, y + 14, _bar_text(b), "", "end", INK, 12, halo=True),
        svg.rect(axes.left, y + 20, width, 14, WHITE if small else PALE, BLUE, 1.2, "3 2" if small else ""),
    ]
    if b.low is not None and b.high is not None:
        x0, x1, middle = axes.x(min(1.0, max(0.0, b.low))), axes.x(min(1.0, max(0.0, b.high))), y + 27
        out.append(svg.line(x0, middle, x1, middle, INK, 1.8))
        out += [svg.line(x, middle - 5, x, middle + 5, INK, 1.8) for x in (x0, x1)]
    return out


def _bar_text(b: Bar) -> str:
    interval = f" ({100 * b.low:.0f}–{100 * b.high:.0f})" if b.low is not None and b.high is not None else ""
    return f"{100 * b.value:.0f} %{interval}" + (f"  n={b.n:,}" if b.n is not None else "")


def budget(
    stages: Sequence[Stage],
    *,
    title: Words | str = BUDGET,
    first: str = "ja",
) -> str:
    """Seconds of each stage as a bar, its budget as a vertical tick; a stage over its budget says so in words."""
    for s in stages:
        svg.finite(*(v for v in (s.seconds, s.budget) if v is not None))
    left, wide, top, step = 12, 416, 8, 42
    most = max((v for s in stages for v in (s.seconds, s.budget or 0.0)), default=0.0) or 1.0
    axes = svg.Axes(left, top, wide, max(1, len(stages) * step), (0.0, most), (0.0, 1.0))
    out: list[str] = []
    for i, s in enumerate(stages):
        y = top + i * step
        over = s.budget is not None and s.seconds > s.budget
        text = seconds(s.seconds) + (f" / {seconds(s.budget)}" if s.budget is not None else "")
        out.append(svg.text(left, y + 14, s.label, first, "start", INK, 13))
        out.append(svg.text(axes.right, y + 14, text, "", "end", RED if over else INK, 12, bold=over))
        out.append(svg.rect(left, y + 20, axes.x(max(0.0, s.seconds)) - left, 14, PALE, RED if over else BLUE, 1.2))
        if over:
            out.append(svg.text(left + 6, y + 31, Words("超過", "over"), first, "start", RED, 11, bold=True))
        if s.budget is not None:
            out.append(svg.line(axes.x(s.budget), y + 16, axes.x(s.budget), y + 38, INK, 2.4))
    spelled = (
        f"{svg.plain(s.label, first)}: {s.seconds:.1f} s / {s.budget if s.budget is not None else '-'}" for s in stages
    )
    return svg.document(WIDTH, top + len(stages) * step + 6, title, Words("; ".join(spelled) or "-"), out, first)


def _legend(x: float, y: float, names: Sequence[tuple[Words, bool]], first: str) -> list[str]:
    out = []
    for i, (words, hollow) in enumerate(names):
        at = x + 6 + i * 150
        out.append(svg.line(at - 6, y, at + 18, y, MUTED if hollow else BLUE, 1.8, "5 4" if hollow else ""))
        out.append(svg.circle(at + 6, y, 5, WHITE, INK) if hollow else svg.rect(at + 1.5, y - 4.5, 9, 9, BLUE, WHITE))
        out.append(svg.text(at + 26, y + 4, words, first, "start", INK, 12))
    return out


def _blend(share: float) -> str:
    """White to blue by share in [0, 1]; the lightness alone carries the meaning, so grey print keeps it."""
    ends = ((255, 31), (255, 78), (255, 121))
    return "#" + "".join(f"{round(a + (b - a) * min(1.0, share)):02x}" for a, b in ends)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _power(value: float) -> str:
    return f"{10**value:.2g}"
