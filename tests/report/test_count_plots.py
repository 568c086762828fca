"""Plots of counts are well-formed for any counts, keep to their image, and refuse what is no count."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.count_plots import CountBar, count_bars, histogram, shaded_table, share_bars
from so8t.report.figures import Words
from so8t.report.svg import BLUE, PALE, SVG_NAMESPACE, WHITE

TITLE, ONE, TWO = Words("題", "title"), Words("一", "one"), Words("二", "two")
COUNTS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=6)


def marks(svg: str, name: str) -> list[dict[str, str]]:
    return [node.attrib for node in ElementTree.fromstring(svg).iter(f"{{{SVG_NAMESPACE}}}{name}")]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{{{SVG_NAMESPACE}}}text")]


def test_bars_are_as_long_as_their_counts() -> None:
    svg = count_bars([CountBar("a", (100,)), CountBar("b", (25,))], (ONE,), title=TITLE)
    wide = [float(mark["width"]) for mark in marks(svg, "rect")]
    assert wide == [416.0, 104.0] and "100" in texts(svg) and "25" in texts(svg)


def test_the_quota_is_measured_on_the_first_part() -> None:
    svg = count_bars([CountBar("a", (30, 50), 60)], (ONE, TWO), title=TITLE)
    (mark,) = marks(svg, "line")
    assert float(mark["x1"]) == pytest.approx(12 + 416 * 60 / 80) and mark["stroke-dasharray"] == "4 3"
    assert "30 / 60" in texts(svg)


def test_an_unreached_quota_sets_the_scale() -> None:
    svg = count_bars([CountBar("a", (1,), 4)], (ONE,), title=TITLE)
    assert float(marks(svg, "rect")[0]["width"]) == 104.0 and float(marks(svg, "line")[0]["x1"]) == 428.0


def test_shares_fill_the_bar() -> None:
    svg = share_bars([CountBar("a", (3, 1)), CountBar("b", (0, 0))], (ONE, TWO), title=TITLE)
    bars = [mark for mark in marks(svg, "rect") if mark["height"] == "14"]
    assert [float(bar["width"]) for bar in bars] == [312.0, 104.0]
    assert {"75 %", "25 %", "n=4", "n=0"} <= set(texts(svg))


def test_a_long_name_leaves_room_for_its_figures() -> None:
    long = count_bars([CountBar("長" * 300, (1_000_000,), 2_000_000)], (ONE,), title=TITLE)
    name, figures = texts(long)[:2]
    assert name.endswith("…") and figures == "1,000,000 / 2,000,000"
    assert 13 * len(name) + 7 * len(figures) < 430
    assert texts(count_bars([CountBar("短い", (1,))], (ONE,), title=TITLE))[0] == "短い"


def test_bins_stand_where_their_edges_are() -> None:
    svg = histogram([(ONE, [(0.0, 1), (2.0, 4)])], title=TITLE, unit=TWO, step=1)
    bars = [mark for mark in marks(svg, "rect") if mark["fill"] == PALE]
    assert [float(bar["x"]) for bar in bars] == [58.0, pytest.approx(58 + 370 * 2 / 3, abs=0.01)]
    assert float(bars[1]["height"]) == pytest.approx(4 * float(bars[0]["height"]), abs=0.02)


def test_shades_follow_the_share_of_the_cell() -> None:
    svg = shaded_table([ONE], [TWO], {(0, 0): (0, 100)}, "AD", title=TITLE, sides=(ONE, TWO))
    cells = [mark["fill"] for mark in marks(svg, "rect") if mark["height"] == "17"]
    assert cells == [WHITE, BLUE]
    blank = shaded_table([ONE], [TWO], {(0, 0): (0, 0)}, "AD", title=TITLE, sides=(ONE, TWO))
    assert not [mark for mark in marks(blank, "rect") if mark["height"] == "17"]


def test_both_languages_and_a_description() -> None:
    svg = count_bars([CountBar(ONE, (7,))], (TWO,), title=TITLE, first="en")
    assert "<title" in svg and "title / 題" in svg and "one / 一: 7" in svg
    assert re.search(r'<tspan class="en" lang="en">one</tspan> <tspan class="ja"', svg)


@given(COUNTS, st.integers(0, 10**9))
@settings(max_examples=40)
def test_bars_of_any_counts(parts: list[tuple[int, int]], quota: int) -> None:
    rows = [CountBar(f"b{n}", pair, quota) for n, pair in enumerate(parts)]
    for svg in (count_bars(rows, (ONE, TWO), title=TITLE), share_bars(rows, (ONE, TWO), title=TITLE)):
        for mark in marks(svg, "rect"):
            assert float(mark["x"]) + float(mark["width"]) <= 440.1


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**6)), max_size=8))
@settings(max_examples=40)
def test_histograms_of_any_bins(bins: list[tuple[float, int]]) -> None:
    svg = histogram([(ONE, bins), (TWO, [])], title=TITLE, unit=TWO, step=0.5)
    assert all(0 <= float(mark["x"]) <= 440 for mark in marks(svg, "rect"))


@pytest.mark.parametrize("plot", [count_bars, share_bars])
def test_bad_counts_are_refused(plot: type) -> None:
    for bad in (-1, 10**200):
        with pytest.raises(ValueError):
            plot([CountBar("x", (bad,))], (ONE,), title=TITLE)


def test_bad_bins_and_cells_are_refused() -> None:
    with pytest.raises(ValueError):
        histogram([(ONE, [(float("nan"), 1)])], title=TITLE, unit=TWO, step=1)
    with pytest.raises(ValueError):
        shaded_table([ONE], [TWO], {(0, 0): (-1,)}, "A", title=TITLE, sides=(ONE, TWO))
