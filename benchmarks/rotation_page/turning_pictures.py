"""Pictures of the gates: one block's four planes, and how far every block turns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rotation_page import sheet
from rotation_page.sheet import WIDTH
from rotation_page.turning import MOMENTS, Plane, Turning
from so8t.report import svg
from so8t.report.figures import Words
from so8t.report.svg import BLUE, INK, MUTED, PALE, RULE, WHITE
from so8t.report.training_log import Record, angle_rows
from so8t.report.training_plots import angle_strip

RADIUS = 84.0
LEFT = 40.0
MOST_CELLS = 128  # in a row; of more blocks, neighbours share a cell, which shows the largest


def block_planes(found: Turning, lang: str) -> str:
    """One circle a plane: where a real vector's share in it stands at t = 0 and at t = 1, and where it would go on."""
    layer, block = found.at
    title = Words(f"層 {layer} のブロック {block} の四つの平面", f"The four planes of layer {layer}, block {block}")
    out = [sheet.heading(20, 16, title, lang)]
    out += _legend((len(found.planes[0].path) - 1) // MOMENTS, lang)
    for i, plane in enumerate(found.planes):
        x, y = (0.25 + 0.5 * (i % 2)) * WIDTH, 82 + RADIUS + (i // 2) * (2 * RADIUS + 66)
        out += _circle(plane, i, x, y, lang)
    told = ", ".join(f"{p.degrees:.2f}°" for p in found.planes)
    return sheet.sheet(2 * (2 * RADIUS + 66) + 60, title, Words(told), out, lang)


def _legend(farthest: int, lang: str) -> list[str]:
    out = [
        svg.circle(26, 38, 4.5, WHITE, INK), svg.text(36, 42, "t = 0", "", "start", INK, 12),
        svg.rect(87.5, 33.5, 9, 9, BLUE, WHITE),
        svg.text(102, 42, Words("t = 1(学んだ回転)", "t = 1 (as learned)").only(lang), "", "start", INK, 12),
    ]  # fmt: skip
    if farthest > 1:
        out += [svg.line(240, 38, 264, 38, MUTED, 1.4, "2 3"), svg.circle(268, 38, 3, MUTED, MUTED)]
        out.append(
            svg.text(
                278, 42, Words(f"続けて t = {farthest} まで", f"on to t = {farthest}").only(lang), "", "start", INK, 12
            )
        )
    return out


def _circle(plane: Plane, number: int, x: float, y: float, lang: str) -> list[str]:
    """Drawn at one size whatever the length, so that small turns can be seen; the length is told below."""
    scale = RADIUS / plane.length if plane.length else 0.0
    path = [(x + scale * u, y - scale * v) for u, v in plane.path]
    learned = path[: len(plane.learned)]
    start, end = learned[0], learned[-1]
    wedge = " ".join(f"{a:.2f},{b:.2f}" for a, b in [(x, y), *learned])
    name = Words(f"平面 {number + 1}: {plane.degrees:.2f}°", f"plane {number + 1}: {plane.degrees:.2f}°")
    lengths = f"{plane.length:.3f} → {math.hypot(*plane.learned[-1]):.3f}"
    on = [svg.path(path[len(learned) - 1 :], MUTED, 1.6, "2 3"), svg.circle(*path[-1], 3, MUTED, MUTED)]
    return [
        svg.circle(x, y, RADIUS, WHITE, RULE),
        svg.line(x - RADIUS, y, x + RADIUS, y, RULE, 0.8), svg.line(x, y - RADIUS, x, y + RADIUS, RULE, 0.8),
        f'<polygon points="{wedge}" fill="{PALE}"/>', *(on if len(path) > len(learned) else []),
        svg.line(x, y, *start, MUTED, 1.4, "4 3"), svg.line(x, y, *end, BLUE, 2), svg.path(learned, BLUE, 3),
        svg.circle(*start, 4.5, WHITE, INK), svg.rect(end[0] - 3.5, end[1] - 3.5, 7, 7, BLUE, WHITE),
        svg.text(x, y - RADIUS - 9, name.only(lang), lang, "middle", INK, 13, bold=True),
        sheet.label(x, y + RADIUS + 20, Words(f"長さ {lengths}", f"length {lengths}"), lang, size=13),
    ]  # fmt: skip


def block_angles(found: Turning, history: Sequence[Record], lang: str) -> str:
    """Degrees by layer (rows) and block (columns); below it their growth, if the run recorded it."""
    out = [sheet.heading(LEFT, 16, Words("学習が終わったときの回転角", "Angles at the end of training"), lang)]
    strip, bottom = _strip(found, lang)
    out += [*_scale(found.largest), *strip]
    title = Words("層とブロックごとの回転角", "Rotation angle by layer and block")
    told = "; ".join(f"{i}: {min(row):.2f}–{max(row):.2f}°" for i, row in enumerate(found.degrees))
    grown = _growth(history, lang)
    if grown:
        out += [sheet.heading(LEFT, bottom + 66, GROWTH, lang), sheet.placed(grown, bottom + 76)]
        bottom += 40 + sheet.size(grown)
    return sheet.sheet(bottom + 44, title, Words(told), out, lang)


def _strip(found: Turning, lang: str) -> tuple[list[str], float]:
    """(elements, lower edge)."""
    layers, blocks = len(found.degrees), len(found.degrees[0])
    cells = min(blocks, MOST_CELLS)
    high, wide, top = max(7.0, min(30.0, 260 / layers)), (WIDTH - LEFT - 14) / cells, 56.0
    out = [sheet.label(LEFT - 6, top - 6, Words("層", "layer"), lang, "end")]
    for layer, row in enumerate(found.degrees):
        y = top + layer * high
        for i in range(cells):
            degrees = max(row[i * blocks // cells : (i + 1) * blocks // cells])
            out.append(svg.rect(LEFT + i * wide, y, wide + 0.3, high, sheet.shade(degrees / (found.largest or 1.0))))
        if layer % math.ceil(14 / high) == 0:
            out.append(sheet.label(LEFT - 6, y + high / 2 + 4, str(layer), lang, "end"))
    bottom = top + layers * high
    out.append(svg.rect(LEFT, top, WIDTH - LEFT - 14, layers * high, "none", RULE))
    for block in svg.ticks(0, blocks - 1, inside=True):
        out.append(sheet.label(LEFT + (block + 0.5) * wide * cells / blocks, bottom + 16, f"{block:g}", lang))
    out.append(sheet.label((LEFT + WIDTH) / 2, bottom + 33, Words("ブロック(8 次元ずつ)", "block (8 wide)"), lang))
    return out, bottom


GROWTH = Words("学習の間の伸び(層の平均)", "Growth during training (mean of a layer)")


def _growth(history: Sequence[Record], lang: str) -> str:
    """The strip of the training report; "" where the run is from before angles were recorded."""
    rows = [(step, [math.degrees(a) for a in angles]) for step, angles in angle_rows(history)]
    return sheet.wrapped(angle_strip(rows, title=Words(GROWTH.only(lang))), lang) if len(rows) > 1 else ""


def _scale(most: float) -> list[str]:
    cells = [svg.rect(LEFT + 20 + i * 8, 26, 8.4, 12, sheet.shade(i / 15)) for i in range(16)]
    return [
        *cells, svg.rect(LEFT + 20, 26, 128.4, 12, "none", RULE),
        svg.text(LEFT + 14, 36, "0°", "", "end", MUTED, 12),
        svg.text(LEFT + 156, 36, f"{most:.2f}°", "", "start", MUTED, 12),
    ]  # fmt: skip
