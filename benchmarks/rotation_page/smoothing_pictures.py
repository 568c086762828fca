"""Pictures of PET: hidden states along time, their spectrum, three ways of scaling, and the curves of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rotation_page import sheet
from rotation_page.sheet import WIDTH
from rotation_page.smoothing import Sentence, Smoothing, Trial, frequency_weight
from so8t.core.config import PetConfig
from so8t.report import plots, svg
from so8t.report.figures import Words
from so8t.report.svg import BLUE, INK, MUTED, PALE, RED
from so8t.report.training_log import Point, points
from so8t.report.training_plots import FAINT

LEFT, MARGIN = 44.0, 14.0
LOOKS = ((BLUE, ""), (INK, "6 3"), (RED, "2 3"))
TRIALS = {
    "none": Words("PET なし", "without PET"), "own": Words("この実行の設定", "as in this run"),
    "literal": Words("計画書の式のまま", "the plan's sum, literally"),
}  # fmt: skip


def along_time(found: Sentence, lang: str) -> str:
    """A few coordinates of the hidden state at each token, and below them what PET squares."""
    title = Words("一つの文の隠れ状態と、その二階差分", "Hidden states of one sentence and their second difference")
    out = [sheet.heading(LEFT, 16, Words("隠れ状態 h[t]", "hidden state h[t]"), lang)]
    out += _names([f"{Words('座標', 'coordinate').only(lang)} {k}" for k in found.coordinates], 34, lang)
    count = len(found.tokens)
    upper = _lines(found.values, 0, count, 44, 150)
    out += upper
    below = 44 + 150 + 12
    out += [_token(t, LEFT + _step(count) * i, below + 10) for i, t in enumerate(found.tokens)]
    below += 76
    words = Words("二階差分 h[t+2] − 2h[t+1] + h[t]", "second difference h[t+2] − 2h[t+1] + h[t]")
    out += [sheet.heading(LEFT, below, words, lang), *_lines(found.bends, 1, count, below + 10, 150)]
    told = Words("トークン: " + " ".join(found.tokens), "tokens: " + " ".join(found.tokens))
    return sheet.sheet(below + 10 + 150 + 12, title, told, out, lang)


def _step(count: int) -> float:
    return (WIDTH - LEFT - MARGIN) / (count - 1)


def _lines(curves: list[list[float]], first: int, count: int, top: float, height: float) -> list[str]:
    """Curves over tokens `first`, first + 1, ... of `count`."""
    ticks = svg.ticks(*svg.span([v for curve in curves for v in curve]))
    axes = svg.Axes(LEFT, top, WIDTH - LEFT - MARGIN, height, (0, count - 1), (ticks[0], ticks[-1]))
    out = axes.grid([], ticks, lambda v: f"{v:g}")
    out.append(svg.line(LEFT, axes.y(0), axes.right, axes.y(0), MUTED))
    for curve, (colour, dash) in zip(curves, LOOKS, strict=False):
        out.append(svg.path([(axes.x(first + i), axes.y(v)) for i, v in enumerate(curve)], colour, 2, dash))
    return out


def _names(names: Sequence[str], y: float, lang: str) -> list[str]:
    out = []
    for i, (name, (colour, dash)) in enumerate(zip(names, LOOKS, strict=False)):
        x = LEFT + i * (WIDTH - LEFT) / len(names)
        out += [svg.line(x, y - 4, x + 22, y - 4, colour, 2, dash), svg.text(x + 27, y, name, lang, "start", INK, 12)]
    return out


def _token(token: str, x: float, y: float) -> str:
    """Written downwards; a token that holds part of a character's bytes shows a dot for them."""
    characters = [c if c.isprintable() and c != "\ufffd" else "·" for c in token.strip() or "␣"][:5]
    inner = "".join(f'<tspan x="{x:.2f}" y="{y + 11 * i:.2f}">{svg.clean(c)}</tspan>' for i, c in enumerate(characters))
    return f'<text text-anchor="middle" font-size="11" fill="{INK}">{inner}</text>'


def spectrum(found: Smoothing, lang: str) -> str:
    """Which waves the states are made of, how PET weighs them, and what it therefore consists of."""
    title = Words("隠れ状態のスペクトルと PET の重み", "Spectrum of the hidden states and PET's weight")
    weight = [(math.pi * k / 100, frequency_weight(math.pi * k / 100)) for k in range(101)]
    parts = [(w, share * frequency_weight(w)) for w, share in found.spectrum]
    total = sum(v for _, v in parts)
    panels = (
        (Words("隠れ状態の強さ(%)", "power of the hidden states (%)"), [(w, 100 * s) for w, s in found.spectrum]),
        (Words("PET の重み 16 sin⁴(ω/2)", "weight of PET, 16 sin⁴(ω/2)"), weight),
        (Words("PET の内訳(%)= 上の二つの積", "what PET consists of (%): their product"),
         [(w, 100 * v / total) for w, v in parts]),
    )  # fmt: skip
    out: list[str] = []
    for i, (name, curve) in enumerate(panels):
        top = 26.0 + i * 160
        out += [sheet.heading(LEFT, top - 8, name, lang), *_area(curve, top, 108, lang)]
    words = Words("波の長さ 2π/ω(トークン)", "length of the wave, 2π/ω (tokens)")
    out.append(sheet.label((LEFT + WIDTH) / 2, 26 + 2 * 160 + 108 + 34, words, lang))
    upper = 100 * found.in_upper_half
    told = Words(f"波長 4 未満が PET の {upper:.0f} %", f"waves below 4 tokens: {upper:.0f} % of PET")
    return sheet.sheet(26 + 2 * 160 + 108 + 44, title, told, out, lang)


def _area(curve: Sequence[Point], top: float, height: float, lang: str) -> list[str]:
    most = max(v for _, v in curve)
    ticks = [0.0, 4.0, 8.0, 12.0, 16.0] if most == frequency_weight(math.pi) else svg.ticks(0, most)
    axes = svg.Axes(LEFT, top, WIDTH - LEFT - MARGIN, height, (0, math.pi), (0, ticks[-1]))
    out = axes.grid([], ticks, lambda v: f"{v:g}")
    drawn = [(axes.x(w), axes.y(v)) for w, v in curve]
    corners = [(drawn[0][0], axes.y(0)), *drawn, (drawn[-1][0], axes.y(0))]
    out.append(f'<polygon points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in corners)}" fill="{PALE}"/>')
    out.append(svg.path(drawn, BLUE, 2))
    for tokens in (16, 8, 4, 3, 2):
        x = axes.x(2 * math.pi / tokens)
        out += [svg.line(x, top + height, x, top + height + 4, MUTED)]
        out.append(sheet.label(x, top + height + 17, str(tokens), lang, "end" if tokens == 2 else "middle"))
    return out


def scalings(trials: Sequence[Trial], lang: str) -> str:
    """The loss of short trainings that differ in PET alone."""
    title = Words("PET の割り方だけを変えた短い学習", "Short trainings that differ in PET alone")
    values = [v for t in trials for _, v in t.losses]
    ticks = svg.ticks(*svg.span(values))
    axes = svg.Axes(LEFT, 64, WIDTH - LEFT - MARGIN, 230, (0, trials[0].losses[-1][0]), (ticks[0], ticks[-1]))
    out = [sheet.heading(LEFT, 16, Words("学習の損失(PET を除く)", "training loss (without PET)"), lang)]
    out += axes.grid(svg.ticks(*axes.xs, inside=True), ticks, lambda v: f"{v:g}")
    looks = {"own": (FAINT, "", 5.0), "none": (INK, "3 3", 1.6), "literal": (RED, "7 3", 2.2)}  # two nearly coincide
    for i, name in enumerate(("own", "none", "literal")):
        found = next(t for t in trials if t.name == name)
        colour, dash, thick = looks[name]
        out.append(svg.path([(axes.x(x), axes.y(y)) for x, y in found.losses], colour, thick, dash))
        x, y = LEFT + (i % 2) * 150, 34 + (i // 2) * 18
        out.append(svg.line(x, y - 4, x + 26, y - 4, colour, thick, dash))
        out.append(svg.text(x + 32, y, TRIALS[name].only(lang), lang, "start", INK, 12))
    out.append(sheet.label((LEFT + WIDTH) / 2, 64 + 230 + 34, plots.STEP, lang))
    told = "; ".join(f"{TRIALS[t.name].only(lang)}: {t.losses[-1][1]:.3f}" for t in trials)
    return sheet.sheet(64 + 230 + 44, title, Words(told), out, lang)


def curves(found: Smoothing, lang: str) -> str:
    """Loss, PET and its weight over the steps of the run, with the borders of the phases."""
    title = Words("損失、PET、λ", "Loss, PET and λ")
    names = (("loss", Words("損失", "loss")), ("pet", PET_NAME), ("pet_weight", Words("λ", "λ")))
    series = [
        plots.Series(Words(name.only(lang)), points(found.history, key), panel)
        for panel, (key, name) in enumerate(names)
    ]
    steps = len(found.history)
    marks = [plots.Mark(b * steps, Words(name.only(lang))) for b, name in _phases(found.config)]
    inner = sheet.wrapped(plots.curve(series, marks, title=Words(title.only(lang))), lang)
    return sheet.sheet(sheet.size(inner), title, Words("; ".join(n.only(lang) for _, n in names)), [inner], lang)


PET_NAME = Words("PET(λ を掛ける前)", "PET (before λ)")


def _phases(config: PetConfig) -> list[tuple[float, Words]]:
    return [(b, Words(f"第 {i} 相", f"phase {i}")) for i, b in enumerate(config.boundaries, 2)]
