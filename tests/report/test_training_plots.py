"""Curves over steps are well-formed, keep to their frame, and say in text what they show."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.figures import Words
from so8t.report.plots import WIDTH
from so8t.report.training_plots import WIDE, Line, Mark, angle_strip, trace

NS = "{http://www.w3.org/2000/svg}"
LOSS = Words("損失", "loss")
FINITE = st.floats(-1e6, 1e6)
XSS = "\"><script>alert(1)</script>' \x00\ud800"


def parse(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert [child.tag for child in root[:2]] == [NS + "title", NS + "desc"] and all(child.text for child in root[:2])
    for node in root.iter():
        assert node.tag.removeprefix(NS) in {
            "svg",
            "title",
            "desc",
            "rect",
            "line",
            "circle",
            "polyline",
            "text",
            "tspan",
        }
        assert not {k for k in node.attrib if k == "style" or k.startswith("on") or "href" in k}
    return root


def words(root: ET.Element) -> str:
    return " ".join("".join(node.itertext()) for node in root.iter(NS + "text"))


def coordinates(root: ET.Element) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for node in root.iter(NS + "polyline")
        for x, y in (pair.split(",") for pair in node.attrib["points"].split())
    ]


def frame(root: ET.Element) -> tuple[float, float, float, float]:
    box = next(root.iter(NS + "rect")).attrib
    x, y, w, h = (float(box[k]) for k in ("x", "y", "width", "height"))
    return x, y, x + w, y + h


def falling(n: int) -> list[tuple[float, float]]:
    return [(float(i), 1 + 5 / (1 + i / 100)) for i in range(n)]


def test_a_long_training_is_a_small_picture() -> None:
    root = parse(trace([Line(LOSS, falling(40_000), "raw"), Line(LOSS, falling(300))], title=LOSS, wide=True))
    assert len(coordinates(root)) <= 2 * 500 + 302 and float(root.attrib["width"]) == WIDE
    assert "10,000" in words(root) and "e+0" not in words(root)
    assert float(parse(trace([Line(LOSS, falling(9))], title=LOSS)).attrib["width"]) == WIDTH


def test_a_step_of_a_constant_is_a_step() -> None:
    points = [(float(i), 0.001 if i < 8_000 else 0.005) for i in range(40_000)]
    root = parse(trace([Line(Words("λ"), points)], title=Words("λ")))
    ys = {y for _, y in coordinates(root)}
    assert len(ys) == 2


@given(st.lists(st.tuples(st.integers(0, 10**6), FINITE), max_size=60), st.lists(st.integers(0, 10**6), max_size=40))
@settings(max_examples=60)
def test_everything_stays_in_the_frame(points: list[tuple[int, float]], steps: list[int]) -> None:
    values = sorted((float(x), y) for x, y in dict(points).items())
    marks = [Mark(s, "λ 0.005", look) for s in steps for look in ("line", "alarm", "tick")]  # type: ignore[arg-type]
    for logarithmic in (False, True):
        root = parse(trace([Line(LOSS, values)], marks, title=LOSS, logarithmic=logarithmic))
        left, top, right, bottom = frame(root)
        for x, y in coordinates(root):
            assert left - 0.01 <= x <= right + 0.01 and top - 0.01 <= y <= bottom + 0.01


def test_signs_above_the_plot_do_not_overlap() -> None:
    marks = [Mark(float(i), "λ 0.005") for i in range(0, 1000, 10)]
    root = parse(trace([Line(LOSS, falling(1000))], marks, title=LOSS))
    signs = [n for n in root.iter(NS + "text") if (n.text or "").startswith("λ")]
    at = sorted((float(n.attrib["y"]), float(n.attrib["x"])) for n in signs)
    assert 3 < len(at) < 100 and len({y for y, _ in at}) == 3
    assert all(b[1] - a[1] > 40 for a, b in pairwise(at) if a[0] == b[0])
    assert 40 < len([n for n in root.iter(NS + "line") if n.attrib.get("stroke-dasharray")]) <= 80


def test_a_rollback_is_red_and_drawn_over_the_curve() -> None:
    svg = trace([Line(LOSS, falling(100))], [Mark(50, "◁", "alarm"), Mark(500, "▷")], title=LOSS)
    assert 'stroke="#a3201d"' in svg and svg.index("#a3201d") > svg.index("<polyline")
    assert "◁" in svg and "▷" not in svg  # step 500 is not in the picture


def test_what_is_above_the_ceiling_is_said() -> None:
    spiked = [*falling(100), (100.0, 300.0), *((101.0 + x, y) for x, y in falling(100))]
    root = parse(trace([Line(LOSS, spiked)], title=LOSS, ceiling=8.0))
    assert "枠の外: 最大 300" in words(root) and "off the scale: up to 300" in words(root)
    assert min(y for _, y in coordinates(root)) == pytest.approx(frame(root)[1])
    assert "off the scale" not in words(parse(trace([Line(LOSS, falling(100))], title=LOSS, ceiling=8.0)))


def test_log_axes() -> None:
    norm = [(float(i), 10 ** (i / 100 - 2)) for i in range(300)]
    text = words(parse(trace([Line(LOSS, norm)], title=LOSS)))
    assert "対数目盛" in text and all(v in text.split() for v in ("0.01", "0.1", "1", "10"))
    assert "対数目盛" in words(parse(trace([Line(LOSS, falling(50))], title=LOSS, logarithmic=True)))
    assert "対数目盛" not in words(parse(trace([Line(LOSS, [(0, 0.0), (1, 500.0)])], title=LOSS, logarithmic=True)))
    wide = [(float(i), 10.0 ** (i - 20)) for i in range(40)]
    assert "1e-20" in words(parse(trace([Line(LOSS, wide)], title=LOSS)))


def test_axes_reach_what_they_are_asked_to() -> None:
    text = words(parse(trace([Line(LOSS, [(0, 78.0), (1, 79.0)])], title=LOSS, reach=(0.0, 100.0)))).split()
    assert "0" in text and "100" in text


def test_the_description_gives_the_ends() -> None:
    root = parse(trace([Line(LOSS, [(0, 7.5), (505, 5.25)])], title=LOSS, first="en"))
    assert root[1].text == "loss / 損失: 7.5 (0) -> 5.25 (505), n=2"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_what_cannot_be_drawn_is_refused(bad: float) -> None:
    with pytest.raises(ValueError):
        trace([Line(LOSS, [(0, bad)])], title=LOSS)
    with pytest.raises(ValueError):
        trace([], [Mark(bad, "")], title=LOSS)
    with pytest.raises(ValueError):
        angle_strip([(0, [bad])], title=LOSS)


def test_text_is_inert() -> None:
    parse(trace([Line(Words(XSS, "b"), falling(3)), Line(Words(XSS), falling(2))], [Mark(1, XSS)], title=Words(XSS)))


def test_nothing_at_all() -> None:
    assert parse(trace([Line(LOSS, [])], title=LOSS))[1].text == "損失 / loss: -"
    assert parse(trace([], title=LOSS))[1].text == "-"


def test_a_strip_is_darker_where_a_layer_turns_more() -> None:
    rows = [(float(s), [0.0, 5.0 * s / 9, 10.0 * s / 9]) for s in range(10)]
    root = parse(angle_strip(rows, title=LOSS))
    cells = [n.attrib for n in root.iter(NS + "rect") if float(n.attrib["y"]) >= 44 and n.attrib["fill"] != "none"]
    last = {float(c["y"]): int(c["fill"][1:3], 16) for c in cells}  # the rightmost of each layer comes last
    first = {float(c["y"]): int(c["fill"][1:3], 16) for c in reversed(cells)}
    assert list(last.values()) == sorted(last.values(), reverse=True) and last[44.0] == 255 and min(last.values()) == 31
    assert set(first.values()) == {255}  # nothing turns at the start
    assert "10°" in words(root) and (root[1].text or "").endswith("0: 0°, 1: 5°, 2: 10°")


def test_strips_stay_small_and_in_their_frame() -> None:
    rows = [(float(25 * s), [math.sin(s / 99) + 1 + layer / 64 for layer in range(64)]) for s in range(2000)]
    svg = angle_strip(rows, title=LOSS)
    root = parse(svg)
    assert len(svg) < 300_000
    assert all(float(n.attrib["x"]) + float(n.attrib["width"]) <= WIDTH - 13.9 for n in root.iter(NS + "rect"))
    names = re.findall(r"\b\d+\b", words(root))
    assert "0" in names and "63" not in names  # room for every other name at most


def test_a_strip_of_no_rotation() -> None:
    parse(angle_strip([(0.0, [0.0, 0.0])], title=LOSS))
