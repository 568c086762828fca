"""Plots as SVG text, made on the server: no dependency, no script, legible in grey and on a telephone.

Every function is pure and returns one <svg> with <title> and <desc>. Marks differ by shape and dash as well as by
colour. Only presentation attributes are used, because a strict Content-Security-Policy drops style="". Widths are in
user units of about one CSS pixel. Numbers that are not finite are refused with ValueError: a plot never guesses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from so8t.report.figures import DECISION_WORDS, SMALL_SAMPLE, Words, seconds

WIDTH = 440  # fits a telephone at about 0.8, so 13-unit text stays above 10 px there
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
FONT = "system-ui, 'Hiragino Sans', 'Yu Gothic UI', 'Noto Sans CJK JP', 'Noto Sans JP', Meiryo, sans-serif"
INK, MUTED, RULE, BLUE, PALE, RED, WHITE = "#1c2430", "#55606e", "#c3cad3", "#1f4e79", "#dbe6f1", "#a3201d", "#ffffff"
DECISIONS = tuple(DECISION_WORDS.values())
MAX_POINTS = 300
LARGEST = 1e100
Write = Callable[[float], str]
_ILLEGAL = {c: "\ufffd" for c in (*range(32), 0x7F, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF) if c not in (9, 10, 13)}


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
    title: Words | str = Words("混同行列", "Confusion matrix"),
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
    _finite(*(v for row in matrix for v in row))
    if any(v < 0 for row in matrix for v in row):
        raise ValueError("negative count")
    left, top, cell, high = 104, 64, 88, 74
    head = Words("列: システムの判定", "columns: judged")
    side = Words("行: ラベル", "rows: label")
    out = [_text(left + size * cell / 2, 18, head, first, "middle", MUTED, 12)]
    out += _stack(8, 38, side, first, "start", MUTED, 12)
    for c, label in enumerate(labels):
        out += _stack(left + (c + 0.5) * cell, 38, label, first, "middle")
    out += _stack(left + size * cell + 34, 38, Words("計", "Total"), first, "middle", MUTED)
    for r, row in enumerate(matrix):
        total, y = sum(row), top + r * high
        out += _stack(left - 10, y + high / 2 - 4, labels[r], first, "end")
        for c, n in enumerate(row):
            box = (left + c * cell, y, cell, high)
            out += _cell(box, n, total, right=r == c, danger=danger == (r, c), first=first)
        out.append(_text(left + size * cell + 34, y + high / 2 + 5, f"{total:,}", first, "middle", MUTED, 14))
    note = " / ".join(f"{_plain(labels[r], first)}: {', '.join(f'{n:,}' for n in row)}" for r, row in enumerate(matrix))
    return _svg(WIDTH, top + size * high + 8, title, Words(note), out, first)


def _cell(
    box: tuple[float, float, float, float], n: int, total: int, *, right: bool, danger: bool, first: str
) -> list[str]:
    x, y, w, h = box
    share = n / total if total else 0.0
    ink = WHITE if share > 0.5 else INK
    out = [_rect(x + 2, y + 2, w - 4, h - 4, _blend(share), RULE)]
    if right:
        out.append(_rect(x + 3, y + 3, w - 6, h - 6, "none", INK, 2.5))
    if danger:
        out.append(_rect(x + 3, y + 3, w - 6, h - 6, "none", RED, 2.5, "5 3"))
        colour = WHITE if share > 0.5 else RED
        out.append(_text(x + w / 2, y + 17, Words("危険", "danger"), first, "middle", colour, 10, bold=True))
    out.append(_text(x + w / 2, y + h / 2 + 7, f"{n:,}", "", "middle", ink, 20, bold=True))
    out.append(_text(x + w / 2, y + h - 11, f"{100 * share:.0f} %" if total else "–", "", "middle", ink, 12))
    return out


def reliability(
    before: Sequence[Bin],
    after: Sequence[Bin],
    *,
    title: Words | str = Words("信頼度図", "Reliability diagram"),
    first: str = "ja",
) -> str:
    """Accuracy against confidence before and after temperature, with the number of requests in each bin below.

    On the diagonal a confidence of 70 % is right 70 times in 100. Empty bins are not drawn.
    """
    for b in (*before, *after):
        _finite(b.low, b.high, b.n, b.confidence, b.accuracy)
    left, top, side = 52, 40, 366
    axes = _Axes(left, top, side, 280, (0.0, 1.0), (0.0, 1.0))
    out = axes.grid([0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.2, 0.4, 0.6, 0.8, 1], _percent)
    out.append(_line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), MUTED, 1.2, "2 4"))
    out += _bins(axes, before, hollow=True) + _bins(axes, after, hollow=False)
    out += _legend(left, 18, ((Words("調整前", "before"), True), (Words("調整後", "after"), False)), first)
    out.append(_text(left + side / 2, top + 280 + 36, Words("確信度", "confidence"), first, "middle", MUTED, 12))
    out.append(_text(left + 6, top + 14, Words("正解率", "accuracy"), first, "start", MUTED, 12))
    base = top + 280 + 50
    for i, (bins, name) in enumerate(((before, Words("件数(前)", "n before")), (after, Words("件数(後)", "n after")))):
        out += _counts(axes, bins, base + i * 58, name, hollow=i == 0, first=first)
    note = Words(f"調整前 {_spell(before)} 調整後 {_spell(after)}", f"before {_spell(before)} after {_spell(after)}")
    return _svg(WIDTH, base + 2 * 58 + 4, title, note, out, first)


def _bins(axes: _Axes, bins: Sequence[Bin], *, hollow: bool) -> list[str]:
    points = [(axes.x(b.confidence), axes.y(b.accuracy)) for b in bins if b.n > 0]
    dash, colour = ("5 4", MUTED) if hollow else ("", BLUE)
    out = [_path(points, colour, 1.8, dash)]
    for x, y in points:
        out.append(_circle(x, y, 5, WHITE, INK) if hollow else _rect(x - 4.5, y - 4.5, 9, 9, BLUE, WHITE))
    return out


def _counts(axes: _Axes, bins: Sequence[Bin], y: float, name: Words, *, hollow: bool, first: str) -> list[str]:
    most = max((b.n for b in bins), default=0)
    out = [_text(axes.left, y + 8, name, first, "start", MUTED, 11), _line(axes.left, y + 54, axes.right, y + 54, RULE)]
    for b in bins:
        if b.n <= 0:
            continue
        x, w = axes.x(b.low), max(1.5, axes.x(b.high) - axes.x(b.low) - 3)
        h = max(1.0, 26 * b.n / most)
        out.append(_rect(x + 1.5, y + 54 - h, w, h, WHITE if hollow else PALE, MUTED if hollow else BLUE))
        if w >= 14:  # narrow bins of equal mass would overprint each other
            out.append(_text(x + 1.5 + w / 2, y + 51 - h, f"{b.n}", "", "middle", INK, 10))
    return out


def _spell(bins: Sequence[Bin]) -> str:
    return "; ".join(f"{b.confidence:.2f} -> {b.accuracy:.2f} (n={b.n})" for b in bins if b.n > 0) or "-"


def curve(
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    *,
    title: Words | str = Words("学習曲線", "Training curves"),
    x_label: Words | str = Words("学習ステップ", "training step"),
    first: str = "ja",
) -> str:
    """Lines over training steps, one panel below the other, phase borders as dashed verticals through all of them.

    A panel whose values span more than two decades is logarithmic and says so. Long series are averaged down to
    300 points.
    """
    for s in series:
        _finite(*(v for point in s.points for v in point))
    _finite(*(m.x for m in marks))
    xs = [x for s in series for x, _ in s.points]
    span = _span(xs)
    panels = sorted({s.panel for s in series})
    top, height, gap = 34, 150, 46
    out: list[str] = []
    for i, panel in enumerate(panels):
        axes_top = top + i * (height + gap)
        out += _panel([s for s in series if s.panel == panel], span, axes_top, height, first)
    bottom = top + len(panels) * (height + gap) - gap
    scale = _Axes(58, top, 366, height, span, (0.0, 1.0))
    for m in (m for m in marks if span[0] <= m.x <= span[1]):
        x = scale.x(m.x)
        edges = [top + i * (height + gap) for i in range(len(panels))]
        out += [_line(x, y, x, y + height, INK, 1.2, "6 4") for y in edges]
        near = "end" if x > 360 else "start"
        out.append(_text(x + (4 if near == "start" else -4), top + 13, m.label, first, near, INK, 11, halo=True))
    out.append(_text(58 + 183, bottom + 36, x_label, first, "middle", MUTED, 12))
    note = Words("; ".join(_spell_series(s, first) for s in series) or "-")
    return _svg(WIDTH, bottom + 46, title, note, out, first)


def _panel(series: Sequence[Series], span: tuple[float, float], top: float, height: float, first: str) -> list[str]:
    values = [y for s in series for _, y in s.points]
    logarithmic = bool(values) and min(values) > 0 and max(values) / min(values) > 100
    scaled = [math.log10(v) for v in values] if logarithmic else values
    ticks = _ticks(*_span(scaled))
    axes = _Axes(58, top, 366, height, span, (ticks[0], ticks[-1]))
    write = _power if logarithmic else _short
    out = axes.grid(_ticks(*span, inside=True), ticks, write, _short)
    for k, s in enumerate(series):
        points = [(x, math.log10(y) if logarithmic else y) for x, y in s.points]
        drawn = [(axes.x(x), axes.y(y)) for x, y in _thin(points)]
        out.append(_path(drawn, (BLUE, INK)[k % 2], 2, ("", "5 4")[k % 2]))
        out += [_circle(x, y, 3.5, BLUE, BLUE) for x, y in drawn] if len(drawn) < 3 else []
    name = [_both(s.label) for s in series]
    label = Words("、".join(n.ja for n in name), ", ".join(n.en or n.ja for n in name))
    suffix = Words("(対数)", " (log)") if logarithmic else Words("")
    out.append(
        _text(58, top - 8, Words(label.ja + suffix.ja, label.en + suffix.en), first, "start", INK, 12, bold=True)
    )
    return out


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal runs of points, so that a week of training stays a small file."""
    run = math.ceil(len(points) / MAX_POINTS) or 1
    chunks = [points[i : i + run] for i in range(0, len(points), run)]
    return [(sum(x for x, _ in c) / len(c), sum(y for _, y in c) / len(c)) for c in chunks]


def _spell_series(s: Series, first: str) -> str:
    if not s.points:
        return f"{_plain(s.label, first)}: -"
    (x0, y0), (x1, y1) = s.points[0], s.points[-1]
    return f"{_plain(s.label, first)}: {_short(y0)} ({_short(x0)}) -> {_short(y1)} ({_short(x1)}), n={len(s.points)}"


def bars(
    rows: Sequence[Bar],
    *,
    title: Words | str = Words("内訳", "Breakdown"),
    reference: float | None = None,
    reference_label: Words | str = Words("全体", "overall"),
    first: str = "ja",
) -> str:
    """Shares from 0 to 100 % with error bars, name and figures above each bar, `reference` as a dashed vertical.

    Bars of fewer than 30 requests are hollow with a dashed frame: they are hints, not findings.
    """
    for b in rows:
        _finite(*(v for v in (b.value, b.low, b.high, b.n) if v is not None))
    left, wide, top, step = 12, 416, 32 if reference is not None else 12, 42
    bottom = top + len(rows) * step
    axes = _Axes(left, top, wide, max(1, bottom - top), (0.0, 1.0), (0.0, 1.0))
    out = [_line(axes.x(t / 4), top, axes.x(t / 4), bottom, RULE, 0.8) for t in range(5)]
    for i, b in enumerate(rows):
        out += _bar(axes, b, top + i * step, first)
    if reference is not None:
        _finite(reference)
        x = axes.x(reference)
        tops = [top - 8, *(top + i * step + 17 for i in range(len(rows)))]  # beside the words, never through them
        out += [_line(x, y, x, y + (8 if i == 0 else 20), INK, 1.6, "4 3") for i, y in enumerate(tops)]
        near = "end" if reference > 0.6 else "start"
        tail = f" {_percent(reference)}"
        out.append(
            _text(x + (4 if near == "start" else -4), top - 12, reference_label, first, near, INK, 12, tail=tail)
        )
    for t in range(5):
        anchor = "start" if t == 0 else "end" if t == 4 else "middle"
        out.append(_text(axes.x(t / 4), bottom + 16, _percent(t / 4), "", anchor, MUTED, 11))
    note = "; ".join(f"{_plain(b.label, first)}: {_bar_text(b)}" for b in rows) or "-"
    return _svg(WIDTH, bottom + 24, title, Words(note), out, first)


def _bar(axes: _Axes, b: Bar, y: float, first: str) -> list[str]:
    small = b.n is not None and b.n < SMALL_SAMPLE
    width = axes.x(min(1.0, max(0.0, b.value))) - axes.left
    out = [
        _text(axes.left, y + 14, b.label, first, "start", INK, 13, halo=True),
        _text(axes.right, y + 14, _bar_text(b), "", "end", INK, 12, halo=True),
        _rect(axes.left, y + 20, width, 14, WHITE if small else PALE, BLUE, 1.2, "3 2" if small else ""),
    ]
    if b.low is not None and b.high is not None:
        x0, x1, middle = axes.x(min(1.0, max(0.0, b.low))), axes.x(min(1.0, max(0.0, b.high))), y + 27
        out.append(_line(x0, middle, x1, middle, INK, 1.8))
        out += [_line(x, middle - 5, x, middle + 5, INK, 1.8) for x in (x0, x1)]
    return out


def _bar_text(b: Bar) -> str:
    interval = f" ({100 * b.low:.0f}–{100 * b.high:.0f})" if b.low is not None and b.high is not None else ""
    return f"{100 * b.value:.0f} %{interval}" + (f"  n={b.n:,}" if b.n is not None else "")


def budget(
    stages: Sequence[Stage],
    *,
    title: Words | str = Words("所要時間と予算", "Time against budget"),
    first: str = "ja",
) -> str:
    """Seconds of each stage as a bar, its budget as a vertical tick; a stage over its budget says so in words."""
    for s in stages:
        _finite(*(v for v in (s.seconds, s.budget) if v is not None))
    left, wide, top, step = 12, 416, 8, 42
    most = max((v for s in stages for v in (s.seconds, s.budget or 0.0)), default=0.0) or 1.0
    axes = _Axes(left, top, wide, max(1, len(stages) * step), (0.0, most), (0.0, 1.0))
    out: list[str] = []
    for i, s in enumerate(stages):
        y = top + i * step
        over = s.budget is not None and s.seconds > s.budget
        text = seconds(s.seconds) + (f" / {seconds(s.budget)}" if s.budget is not None else "")
        out.append(_text(left, y + 14, s.label, first, "start", INK, 13))
        out.append(_text(axes.right, y + 14, text, "", "end", RED if over else INK, 12, bold=over))
        out.append(_rect(left, y + 20, axes.x(max(0.0, s.seconds)) - left, 14, PALE, RED if over else BLUE, 1.2))
        if over:
            out.append(_text(left + 6, y + 31, Words("超過", "over"), first, "start", RED, 11, bold=True))
        if s.budget is not None:
            out.append(_line(axes.x(s.budget), y + 16, axes.x(s.budget), y + 38, INK, 2.4))
    spelled = (
        f"{_plain(s.label, first)}: {s.seconds:.1f} s / {s.budget if s.budget is not None else '-'}" for s in stages
    )
    return _svg(WIDTH, top + len(stages) * step + 6, title, Words("; ".join(spelled) or "-"), out, first)


@dataclass(frozen=True, slots=True)
class _Axes:
    """A plot area in user units and the data ranges it shows."""

    left: float
    top: float
    width: float
    height: float
    xs: tuple[float, float]
    ys: tuple[float, float]

    @property
    def right(self) -> float:
        return self.left + self.width

    def x(self, value: float) -> float:
        return self.left + self.width * (value - self.xs[0]) / (self.xs[1] - self.xs[0])

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - (value - self.ys[0]) / (self.ys[1] - self.ys[0]))

    def grid(self, xs: Sequence[float], ys: Sequence[float], write_y: Write, write_x: Write | None = None) -> list[str]:
        out = [_rect(self.left, self.top, self.width, self.height, WHITE, RULE)]
        for v in ys:
            out.append(_line(self.left, self.y(v), self.right, self.y(v), RULE, 0.6))
            out.append(_text(self.left - 6, self.y(v) + 4, write_y(v), "", "end", MUTED, 11))
        for v in xs:
            out.append(_line(self.x(v), self.top, self.x(v), self.top + self.height, RULE, 0.6))
            out.append(_text(self.x(v), self.top + self.height + 16, (write_x or write_y)(v), "", "middle", MUTED, 11))
        return out


def _svg(width: float, height: float, title: Words | str, note: Words, body: Sequence[str], first: str) -> str:
    inner = "".join(body)
    heading = _plain(title, first)
    key = hashlib.sha256((heading + inner).encode("utf-8", "replace")).hexdigest()[:10]
    return (
        f'<svg xmlns="{SVG_NAMESPACE}" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" role="img" aria-labelledby="t{key} d{key}" font-family={quoteattr(FONT)} '
        f'font-variant-numeric="tabular-nums">'
        f'<title id="t{key}">{_escape(heading)}</title><desc id="d{key}">{_escape(note.plain(first))}</desc>{inner}</svg>'
    )


def _text(
    x: float, y: float, words: Words | str, first: str, anchor: str, fill: str, size: float, *,
    bold: bool = False, halo: bool = False, tail: str = "",
) -> str:  # fmt: skip
    """One line of text; two languages become two tspans of class ja and en, so that CSS can hide one; `tail` follows both."""
    pairs = _both(words).ordered(first)
    if len(pairs) == 1:
        inner = _escape(pairs[0][1])
    else:
        looks = ("", f' font-size="{_n(size - 1.5)}" fill-opacity="0.8"')
        inner = " ".join(
            f'<tspan class="{lang}" lang="{lang}"{look}>{_escape(text)}</tspan>'
            for (lang, text), look in zip(pairs, looks, strict=True)
        )
    weight = ' font-weight="700"' if bold else ""
    edge = f' stroke="{WHITE}" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{_n(size)}" fill="{fill}"{weight}{edge}>'
        f"{inner}{_escape(tail)}</text>"
    )


def _stack(
    x: float, y: float, words: Words | str, first: str, anchor: str, fill: str = INK, size: float = 13
) -> list[str]:
    """Two languages below each other, the reader's own on top and larger."""
    pairs = _both(words).ordered(first)
    out = []
    for i, (lang, text) in enumerate(pairs):
        name = f' class="{lang}" lang="{lang}"' if lang else ""
        look = f'font-size="{_n(size - 2 * i)}" fill="{MUTED if i else fill}"'
        out.append(f'<text x="{_n(x)}" y="{_n(y + 15 * i)}" text-anchor="{anchor}" {look}{name}>{_escape(text)}</text>')
    return out


def _legend(x: float, y: float, names: Sequence[tuple[Words, bool]], first: str) -> list[str]:
    out = []
    for i, (words, hollow) in enumerate(names):
        at = x + 6 + i * 150
        out.append(_line(at - 6, y, at + 18, y, MUTED if hollow else BLUE, 1.8, "5 4" if hollow else ""))
        out.append(_circle(at + 6, y, 5, WHITE, INK) if hollow else _rect(at + 1.5, y - 4.5, 9, 9, BLUE, WHITE))
        out.append(_text(at + 26, y + 4, words, first, "start", INK, 12))
    return out


def _rect(
    x: float, y: float, w: float, h: float, fill: str, stroke: str = "none", width: float = 1, dash: str = ""
) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, w))}" height="{_n(max(0.0, h))}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="{_n(width)}"{dashes}/>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, stroke: str, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}" stroke="{stroke}" '
        f'stroke-width="{_n(width)}"{dashes}/>'
    )


def _circle(x: float, y: float, r: float, fill: str, stroke: str) -> str:
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'


def _path(points: Sequence[tuple[float, float]], stroke: str, width: float, dash: str = "") -> str:
    if len(points) < 2:
        return ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    way = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polyline points="{way}" fill="none" stroke="{stroke}" stroke-width="{_n(width)}"{dashes}/>'


def _finite(*values: float) -> None:
    for v in values:
        if not math.isfinite(v) or abs(v) > LARGEST:
            raise ValueError(f"cannot be plotted: {v}")


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest; a single value or none gets some room around it."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low > max(1e-12 * max(abs(low), abs(high)), 1 / LARGEST):
        return low, high
    return low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)


def _ticks(low: float, high: float, *, inside: bool = False) -> list[float]:
    """Round numbers (1, 2, 5 x 10^k) from below `low` to above `high`, or only those between them."""
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    values = [i * step for i in range(start, max(stop, start + 1) + 1)]
    return [v for v in values if low - 1e-9 * step <= v <= high + 1e-9 * step] if inside else values


def _blend(share: float) -> str:
    """White to blue by share in [0, 1]; the lightness alone carries the meaning, so grey print keeps it."""
    ends = ((255, 31), (255, 78), (255, 121))
    return "#" + "".join(f"{round(a + (b - a) * min(1.0, share)):02x}" for a, b in ends)


def _both(words: Words | str) -> Words:
    return words if isinstance(words, Words) else Words(words)


def _plain(words: Words | str, first: str) -> str:
    return _both(words).plain(first)


def _escape(text: str) -> str:
    """XML text: markup escaped, characters that XML 1.0 does not allow replaced."""
    return escape(text.translate(_ILLEGAL), {'"': "&quot;", "'": "&#39;"})


def _n(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _power(value: float) -> str:
    return f"{10**value:.2g}"
