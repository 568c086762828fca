"""The few SVG elements our plots are made of, as text: escaped, finite, presentation attributes only.

A strict Content-Security-Policy drops style="", so nothing here uses it. Lengths are user units of about a CSS pixel.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from so8t.report.figures import LARGEST, Words

SVG_NAMESPACE = "http://www.w3.org/2000/svg"
FONT = "system-ui, 'Hiragino Sans', 'Yu Gothic UI', 'Noto Sans CJK JP', 'Noto Sans JP', Meiryo, sans-serif"
INK, MUTED, RULE, BLUE, PALE, RED, WHITE = "#1c2430", "#55606e", "#c3cad3", "#1f4e79", "#dbe6f1", "#a3201d", "#ffffff"
Write = Callable[[float], str]
_ILLEGAL = {c: "\ufffd" for c in (*range(32), 0x7F, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF) if c not in (9, 10, 13)}


@dataclass(frozen=True, slots=True)
class Axes:
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
        out = [rect(self.left, self.top, self.width, self.height, WHITE, RULE)]
        for v in ys:
            out.append(line(self.left, self.y(v), self.right, self.y(v), RULE, 0.6))
            out.append(text(self.left - 6, self.y(v) + 4, write_y(v), "", "end", MUTED, 11))
        for v in xs:
            out.append(line(self.x(v), self.top, self.x(v), self.top + self.height, RULE, 0.6))
            out.append(text(self.x(v), self.top + self.height + 16, (write_x or write_y)(v), "", "middle", MUTED, 11))
        return out


def document(width: float, height: float, title: Words | str, note: Words, body: Sequence[str], first: str) -> str:
    """A finished image: `title` names it, `note` says in words what it shows, ids follow from the content."""
    inner = "".join(body)
    heading = plain(title, first)
    key = hashlib.sha256((heading + inner).encode("utf-8", "replace")).hexdigest()[:10]
    return (
        f'<svg xmlns="{SVG_NAMESPACE}" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'width="{_n(width)}" height="{_n(height)}" role="img" aria-labelledby="t{key} d{key}" '
        f"font-family={quoteattr(FONT)} "
        f'font-variant-numeric="tabular-nums">'
        f'<title id="t{key}">{clean(heading)}</title>'
        f'<desc id="d{key}">{clean(note.plain(first))}</desc>{inner}</svg>'
    )


def text(
    x: float, y: float, words: Words | str, first: str, anchor: str, fill: str, size: float, *,
    bold: bool = False, halo: bool = False, tail: str = "",
) -> str:  # fmt: skip
    """One line of text; two languages are two tspans of class ja and en, so that CSS can hide one; then `tail`."""
    pairs = both(words).ordered(first)
    if len(pairs) == 1:
        inner = clean(pairs[0][1])
    else:
        looks = ("", f' font-size="{_n(size - 1.5)}" fill-opacity="0.9"')
        inner = " ".join(
            f'<tspan class="{lang}" lang="{lang}"{look}>{clean(part)}</tspan>'
            for (lang, part), look in zip(pairs, looks, strict=True)
        )
    weight = ' font-weight="700"' if bold else ""
    edge = f' stroke="{WHITE}" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{_n(size)}" fill="{fill}"{weight}{edge}>'
        f"{inner}{clean(tail)}</text>"
    )


def stack(
    x: float, y: float, words: Words | str, first: str, anchor: str, fill: str = INK, size: float = 13
) -> list[str]:
    """Two languages below each other, the reader's own on top and larger."""
    pairs = both(words).ordered(first)
    out = []
    for i, (lang, part) in enumerate(pairs):
        name = f' class="{lang}" lang="{lang}"' if lang else ""
        look = f'font-size="{_n(size - 2 * i)}" fill="{MUTED if i else fill}"'
        out.append(f'<text x="{_n(x)}" y="{_n(y + 15 * i)}" text-anchor="{anchor}" {look}{name}>{clean(part)}</text>')
    return out


def rect(
    x: float, y: float, w: float, h: float, fill: str, stroke: str = "none", width: float = 1, dash: str = ""
) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, w))}" height="{_n(max(0.0, h))}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="{_n(width)}"{dashes}/>'
    )


def line(x0: float, y0: float, x1: float, y1: float, stroke: str, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}" stroke="{stroke}" '
        f'stroke-width="{_n(width)}"{dashes}/>'
    )


def circle(x: float, y: float, r: float, fill: str, stroke: str) -> str:
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'


def path(points: Sequence[tuple[float, float]], stroke: str, width: float, dash: str = "") -> str:
    if len(points) < 2:
        return ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    way = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polyline points="{way}" fill="none" stroke="{stroke}" stroke-width="{_n(width)}"{dashes}/>'


def finite(*values: float) -> None:
    """Raises ValueError for NaN, infinity and what would overflow."""
    for v in values:
        if not math.isfinite(v) or abs(v) > LARGEST:
            raise ValueError(f"cannot be plotted: {v}")


def span(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest; a single value or none gets some room around it."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low > max(1e-12 * max(abs(low), abs(high)), 1 / LARGEST):
        return low, high
    return low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)


def ticks(low: float, high: float, *, inside: bool = False) -> list[float]:
    """Round numbers (1, 2, 5 x 10^k) from below `low` to above `high`, or only those between them."""
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    values = [i * step for i in range(start, max(stop, start + 1) + 1)]
    return [v for v in values if low - 1e-9 * step <= v <= high + 1e-9 * step] if inside else values


def both(words: Words | str) -> Words:
    return words if isinstance(words, Words) else Words(words)


def plain(words: Words | str, first: str) -> str:
    return both(words).plain(first)


def clean(text: str) -> str:
    """XML text: markup escaped, characters that XML 1.0 does not allow replaced."""
    return escape(text.translate(_ILLEGAL), {'"': "&quot;", "'": "&#39;"})


def _n(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
