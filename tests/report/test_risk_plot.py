"""The curve of risk is well-formed, bounded, says its ends in words, and refuses what is no number."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.report.risk_plot import Risk, risk_coverage

SVG = "{http://www.w3.org/2000/svg}"
SHARE = st.floats(0, 1)
CURVES = st.lists(st.builds(lambda a, b, c, d: Risk(a, *sorted((b, c, d))), SHARE, SHARE, SHARE, SHARE), max_size=8)
LINE = [Risk(0.1, 0.0, 0.0, 0.02), Risk(0.5, 0.12, 0.08, 0.2)]


@given(CURVES, CURVES)
def test_any_curves_stay_inside_the_frame(wrong: list[Risk], allowed: list[Risk]) -> None:
    tree = ET.fromstring(risk_coverage(wrong, allowed))
    width, height = (float(tree.attrib[k]) for k in ("width", "height"))
    for polygon in tree.iter(f"{SVG}polygon"):
        for pair in polygon.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width and 0 <= y <= height


def test_both_curves_differ_by_dash_and_have_a_band() -> None:
    tree = ET.fromstring(risk_coverage(LINE, LINE))
    lines, bands = list(tree.iter(f"{SVG}polyline")), list(tree.iter(f"{SVG}polygon"))
    assert len(lines) == len(bands) == 2
    assert "stroke-dasharray" not in lines[0].attrib and lines[1].attrib["stroke-dasharray"]
    assert not [e for e in tree.iter() if "style" in e.attrib]


def test_the_ends_are_said_in_words_in_both_languages() -> None:
    text = risk_coverage(LINE, [])
    assert "誤り 0.000 (0.000-0.020) @ 0.10" in text and "0.120 (0.080-0.200) @ 0.50" in text
    assert "人を介さずに決めた割合" in text and "share decided without a person" in text


def test_a_risk_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be plotted"):
        risk_coverage([Risk(0.1, float("nan"), 0, 1)], [])
