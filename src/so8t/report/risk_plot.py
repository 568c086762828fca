"""Risk against coverage as SVG: what is wrong among the decided, the more is decided without a person (SPEC P2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.svg import BLUE, INK, MUTED, PALE, RED

WIDTH = 440
RISK = Words("人へ回す量と誤り", "Risk against coverage")
WRONG = Words("誤り", "wrong")
WRONG_ALLOW = Words("誤って許可", "wrongly allowed")
COVERAGE = Words("人を介さずに決めた割合", "share decided without a person")
PALE_RED = "#f6dedc"


@dataclass(frozen=True, slots=True)
class Risk:
    """One point of a curve: all are shares in [0, 1]; low and high bound the 95 % band."""

    coverage: float
    value: float
    low: float
    high: float


def risk_coverage(
    wrong: Sequence[Risk], wrong_allow: Sequence[Risk], *, title: Words | str = RISK, first: str = "ja"
) -> str:
    """Two curves with their bands over coverage 0 to 100 %; solid blue squares = wrong, dashed red = wrongly allowed.

    Raises ValueError for numbers that are not finite.
    """
    points = (*wrong, *wrong_allow)
    for p in points:
        svg.finite(p.coverage, p.value, p.low, p.high)
    most = max((p.high for p in points), default=0.0)
    ticks = svg.ticks(0.0, max(0.05, min(1.0, most)))
    axes = svg.Axes(52, 40, 366, 260, (0.0, 1.0), (0.0, ticks[-1]))
    out = axes.grid([0, 0.2, 0.4, 0.6, 0.8, 1], ticks, _percent)
    curves = ((wrong, BLUE, PALE, ""), (wrong_allow, RED, PALE_RED, "6 4"))
    out += [_band(axes, curve, fill, stroke, dash) for curve, stroke, fill, dash in curves]
    for curve, stroke, _, dash in curves:
        drawn = [(axes.x(p.coverage), axes.y(p.value)) for p in curve]
        out.append(svg.path(drawn, stroke, 2.2, dash))
        out += [svg.circle(x, y, 3.5, stroke, stroke) for x, y in drawn] if len(drawn) == 1 else []
    for i, (words, (_, stroke, _, dash)) in enumerate(zip((WRONG, WRONG_ALLOW), curves, strict=True)):
        at = 58 + 170 * i
        out += [svg.line(at, 20, at + 28, 20, stroke, 2.2, dash), svg.text(at + 34, 24, words, first, "start", INK, 12)]
    out.append(svg.text(52 + 183, 40 + 260 + 36, COVERAGE, first, "middle", MUTED, 12))
    ja = f"{WRONG.ja} {_spell(wrong)}、{WRONG_ALLOW.ja} {_spell(wrong_allow)}"
    en = f"{WRONG.en} {_spell(wrong)}, {WRONG_ALLOW.en} {_spell(wrong_allow)}"
    return svg.document(WIDTH, 40 + 260 + 46, title, Words(ja, en), out, first)


def _band(axes: svg.Axes, curve: Sequence[Risk], fill: str, stroke: str, dash: str) -> str:
    """The 95 % band as one polygon, thinly edged so that grey print keeps it."""
    if len(curve) < 2:
        return ""
    top = axes.ys[1]
    edge = [(axes.x(p.coverage), axes.y(min(top, p.high))) for p in curve]
    edge += [(axes.x(p.coverage), axes.y(max(0.0, p.low))) for p in reversed(curve)]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polygon points="{way}" fill="{fill}" fill-opacity="0.7" stroke="{stroke}" stroke-width="0.5" '
        f'stroke-opacity="0.6"{dashes}/>'
    )


def _spell(curve: Sequence[Risk]) -> str:
    if not curve:
        return "-"
    ends = (curve[0], curve[-1])
    return ", ".join(f"{p.value:.3f} ({p.low:.3f}-{p.high:.3f}) @ {p.coverage:.2f}" for p in ends)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if abs(value * 100 - round(value * 100)) < 1e-6 else f"{100 * value:.1f} %"
