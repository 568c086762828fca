"""How far the folded model is from the gated one, as bars on a logarithmic axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rotation_page import sheet
from rotation_page.figures import small
from rotation_page.folding import Folding
from rotation_page.sheet import WIDTH
from so8t.build.burnin.proof import PLAN_LOGIT
from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.svg import BLUE, INK, PALE, RED, RULE, WHITE

LEFT, ROW = 14.0, 46.0
FLOOR = Words("丸めの床: 同じモデルの fp64 との差", "rounding floor: the same model's distance from fp64")


@dataclass(frozen=True, slots=True)
class _Bar:
    name: Words
    value: float
    floor: float | None = None
    wrong: bool = False


def differences(found: Folding, lang: str) -> str:
    """Bars of the right fold in each precision with their floors; below, the wrong side and the gates left out."""
    bars = _bars(found)
    low = 10.0 ** math.floor(math.log10(min(b.value for b in bars if b.value > 0)))
    axes = svg.Axes(LEFT, 50, WIDTH - 2 * LEFT, ROW * len(bars), (math.log10(low), 1.0), (0.0, 1.0))
    bottom = axes.top + axes.height
    title = Words("焼きこみの前と後の差", "Difference by the fold")
    out = [sheet.heading(LEFT, 16, Words("ロジットの差の最大(対数目盛)", "largest logit difference (log scale)"), lang)]
    out.append(svg.line(LEFT + 5, 24, LEFT + 5, 38, INK, 2.6))
    out.append(svg.text(LEFT + 14, 36, FLOOR.only(lang), lang, "start", INK, 12))
    for power in range(math.ceil(axes.xs[0]), 2, 4):
        out.append(svg.line(axes.x(power), axes.top, axes.x(power), bottom, RULE, 0.8))
        anchor = "start" if power == axes.xs[0] else "middle"
        out.append(sheet.label(axes.x(power), bottom + 16, sheet.power_of_ten(10.0**power), lang, anchor))
    plan = axes.x(math.log10(PLAN_LOGIT))
    out.append(svg.line(plan, axes.top, plan, bottom, INK, 1.2, "4 3"))
    words = Words("計画書の基準 1e-5", "the plan's 1e-5")
    out.append(svg.text(plan, bottom + 34, words.only(lang), lang, "middle", INK, 12))
    for i, bar in enumerate(bars):
        out += _drawn(axes, bar, axes.top + i * ROW, lang)
    told = "; ".join(f"{b.name.only(lang)}: {small(b.value)}" for b in bars)
    return sheet.sheet(bottom + 44, title, Words(told), out, lang)


def _bars(found: Folding) -> list[_Bar]:
    one = Words("fp64、一つの層", "fp64, one layer")
    rows = [_Bar(one, found.layer_error)]
    for m in found.precisions:
        if m.precision != "fp64":
            rows.append(_Bar(Words(f"{m.precision}、モデル全体", f"{m.precision}, whole model"), m.difference, m.floor))
    if found.wrong is not None:
        rows.append(_Bar(Words("側を間違えた W @ R", "the wrong side, W @ R"), found.wrong.logit, wrong=True))
    rows.append(_Bar(Words("ゲートを捨てた", "gates thrown away"), found.without.logit, wrong=True))
    return rows


def _drawn(axes: svg.Axes, bar: _Bar, y: float, lang: str) -> list[str]:
    right = axes.x(max(axes.xs[0], math.log10(bar.value))) if bar.value > 0 else axes.left
    colour = RED if bar.wrong else BLUE
    out = [
        svg.text(axes.left, y + 14, bar.name.only(lang), lang, "start", RED if bar.wrong else INK, 13, halo=True),
        svg.text(axes.right, y + 14, small(bar.value), "", "end", INK, 12, halo=True),
        svg.rect(axes.left, y + 20, right - axes.left, 16, WHITE if bar.wrong else PALE, colour, 1.4),
    ]
    if bar.floor:
        x = axes.x(math.log10(bar.floor))
        out.append(svg.line(x, y + 16, x, y + 40, INK, 2.6))
    return out
