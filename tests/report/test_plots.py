"""Every plot is well-formed, safe, finite and says in text what it shows."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report import plots
from so8t.report.figures import Words
from so8t.report.plots import Bar, Bin, Mark, Series, Stage

XSS = "\"><script>alert(1)</script>' onload=x &amp; ]]> \x00\x1b\ud800"
NS = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    """Well-formed, titled, described, without script or style, and every coordinate a finite number."""
    root = ET.fromstring(svg)
    assert root.tag == NS + "svg"
    assert [child.tag for child in root[:2]] == [NS + "title", NS + "desc"]
    assert all(child.text for child in root[:2])
    assert {node.tag.removeprefix(NS) for node in root.iter()} <= {
        "svg", "title", "desc", "rect", "line", "circle", "polyline", "text", "tspan",
    }  # fmt: skip
    for node in root.iter():
        assert not {k for k in node.attrib if k == "style" or k.startswith("on") or "href" in k}
        for key in {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"} & set(node.attrib):
            assert math.isfinite(float(node.attrib[key]))
    assert re.findall(r"https?://[^\s\"']*", svg) == ["http://www.w3.org/2000/svg"]
    return root


def words(root: ET.Element) -> str:
    return " ".join("".join(node.itertext()) for node in root.iter(NS + "text"))


def test_confusion_matrix_shows_counts_row_shares_and_the_dangerous_cell() -> None:
    text = words(parse(plots.confusion_matrix([[46, 8, 2], [9, 40, 3], [1, 6, 45]])))
    assert "46" in text and "82 %" in text and "危険 danger" in text and "52" in text


def test_confusion_matrix_of_nothing_has_no_shares() -> None:
    assert "%" not in words(parse(plots.confusion_matrix([[0, 0, 0]] * 3)))


@pytest.mark.parametrize(
    "matrix", [[[1, 2], [3, 4]], [[1, 2, 3]] * 2, [[1, 2, 3], [1, 2], [1, 2, 3]], [[-1, 0, 0]] * 3]
)
def test_confusion_matrix_refuses_what_does_not_fit(matrix: list[list[int]]) -> None:
    with pytest.raises(ValueError):
        plots.confusion_matrix(matrix)


def test_reliability_draws_bin_counts_and_skips_empty_bins() -> None:
    before = [Bin(0.0, 0.5, 0, 0.25, 0.0), Bin(0.5, 1.0, 17, 0.8, 0.6)]
    root = parse(plots.reliability(before, [Bin(0.5, 1.0, 23, 0.7, 0.7)]))
    assert "17" in words(root) and "23" in words(root)
    assert root[1].text == "調整前 0.80 -> 0.60 (n=17) 調整後 0.70 -> 0.70 (n=23) / " + (
        "before 0.80 -> 0.60 (n=17) after 0.70 -> 0.70 (n=23)"
    )


def test_curve_marks_phase_borders_and_keeps_long_series_small() -> None:
    long = Series(Words("課題の損失", "task loss"), [(i, 3.0 / (1 + i)) for i in range(100_000)])
    svg = plots.curve(
        [long, Series("PET", [(0, 1.0), (99_999, 0.5)], 1)], [Mark(20_000, "λ 0.005"), Mark(1e9, "outside")]
    )
    text = words(parse(svg))
    assert "λ 0.005" in text and "outside" not in text and "(対数) " in text
    assert len(svg) < 30_000


def test_small_samples_are_hollow_and_dashed() -> None:
    root = parse(plots.bars([Bar("a", 0.5, 0.2, 0.8, n=29), Bar("b", 0.5, 0.4, 0.6, n=30)], reference=0.5))
    dashed = ["stroke-dasharray" in node.attrib for node in root.iter(NS + "rect")]
    assert dashed == [True, False]
    assert "50 % (20–80) n=29" in words(root).replace("  ", " ")


def test_budget_says_over_in_words_and_only_then() -> None:
    assert "超過 over" in words(parse(plots.budget([Stage("train", 91, 90)])))
    assert "超過" not in words(parse(plots.budget([Stage("train", 90, 90), Stage("base", 5)])))


def test_languages_are_marked_so_that_css_can_hide_one() -> None:
    root = parse(plots.bars([Bar(Words("医療", "Medical"), 0.5)], title=Words("分野", "Domains"), first="en"))
    spans = [(node.attrib["class"], node.text) for node in root.iter(NS + "tspan")]
    assert spans == [("en", "Medical"), ("ja", "医療")]
    assert root[0].text == "Domains / 分野"


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: plots.confusion_matrix([[1, 0, 0]] * 3, [x, Words(x, x), x], title=x),
        lambda x: plots.reliability([], [], title=x),
        lambda x: plots.curve([Series(x, [(0, 1.0), (1, 2.0)])], [Mark(0.5, x)], title=x, x_label=Words(x, x + "en")),
        lambda x: plots.bars([Bar(x, 0.1)], title=x, reference=0.1, reference_label=x),
        lambda x: plots.budget([Stage(Words(x, x + "en"), 1, 2)], title=x),
    ],
)
def test_text_is_escaped_everywhere(draw: Callable[[str], str]) -> None:
    svg = draw(XSS)
    assert "alert(1)" in "".join(parse(svg).itertext())
    assert "<script" not in svg


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_what_cannot_be_plotted_is_refused(bad: float) -> None:
    draws: list[Callable[[], str]] = [
        lambda: plots.confusion_matrix([[bad, 0, 0]] * 3),  # type: ignore[list-item]
        lambda: plots.reliability([Bin(0, 1, 3, bad, 0.5)], []),
        lambda: plots.curve([Series("a", [(0, bad)])]),
        lambda: plots.curve([], [Mark(bad, "a")]),
        lambda: plots.bars([Bar("a", bad)]),
        lambda: plots.bars([Bar("a", 0.5, 0.1, bad)]),
        lambda: plots.bars([], reference=bad),
        lambda: plots.budget([Stage("a", 1, bad)]),
    ]
    for draw in draws:
        with pytest.raises(ValueError, match="cannot be plotted"):
            draw()


@pytest.mark.parametrize(
    "svg",
    [
        plots.reliability([], []),
        plots.reliability([Bin(0.5, 0.5, 1, 0.5, 1.0)], [Bin(0, 1, 5, 0, 0)]),
        plots.curve([]),
        plots.curve([Series("a", [])]),
        plots.curve([Series("a", [(3, 0.0)])]),
        plots.curve([Series("a", [(0, 5e-324), (1, 1.0)])]),
        plots.curve([Series("a", [(0, -1e99), (1, 1e99)])]),
        plots.bars([]),
        plots.bars([Bar("a", 0.0, 0.0, 0.0, 0), Bar("b", 7.0, -3.0, 9.0)], reference=0.0),
        plots.budget([]),
        plots.budget([Stage("a", 0.0, 0.0), Stage("b", -1.0)]),
    ],
)
def test_odd_values_still_give_a_plot(svg: str) -> None:
    parse(svg)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e99, 1e99), st.floats(-1e99, 1e99)), max_size=8), st.text(max_size=12))
def test_any_series_is_well_formed(points: list[tuple[float, float]], name: str) -> None:
    parse(plots.curve([Series(name, sorted(points))]))
