"""The data report shows every figure and every failing row, inert and whole, whatever the data holds."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.count_plots import CountBar, count_bars, histogram
from so8t.report.data_report import data_report_html, data_report_markdown, data_report_rows
from so8t.report.figures import Words

EVIL = "<script>alert(1)</script>\u2028\u202e\"'&|\n改行"
FACTS: dict[str, Any] = {
    "run": {"profile": "micro", "date": "2026-11-25"},
    "checks": [
        {"name_ja": "矛盾", "name_en": "contradictions", "passed": False, "value": "60", "limit": "0", "rows_total": 60,
         "rows": [{"id": "s1", "place": "written", "why": "ALLOW / DENY", "text": EVIL * 40}]},
        {"name_ja": "標本の数", "name_en": "samples", "passed": True, "value": "12", "limit": ">= 10", "rows": []},
    ],
    "splits": {"train": 10, "test": 2}, "licenses": {"CC0-1.0": 12}, "pii": {"電話番号": 3},
    "domains": {"medical": {"text": 3, "request": 5, "multimodal": 1, "quota": 7, "unfilled": 4}},
    "sources": [{"name": EVIL, "license": "CC0", "read": 9, "kept": 3, "quota": 5, "unfilled": 2, "characters": 1234,
                 "dropped": {"quality": 4}}],
    "quality": {"kept_histogram": [[0.95, 3]], "dropped_histogram": [[0.1, 4]], "reasons": [["短い", "short", 4]]},
    "lengths": [[100, 2], [300, 1]],
    "duplicates": {"exact": 1, "near": 2, "clusters": 1,
                   "largest": [{"size": 4, "kept": {"place": "a:1", "text": EVIL},
                                "examples": [{"place": "b:2", "jaccard": 0.9}]}]},
    "decisions": {"train": {"ALLOW": 4, "ESCALATE": 3, "DENY": 3}, "test": {"ALLOW": 0, "ESCALATE": 0, "DENY": 2}},
    "registers": {"敬体": 6}, "attacks": {"base64": 1}, "levels": [["社内限定", "極秘", "DENY", 5]],
    "skipped": [{"place": "x.pdf", "reason": "no text layer", "detail": ""}],
    "synthesis": {"unique_queries": 0.99, "counts": {"a": 1}},
    "multimodal": {"pages": 3, "by_layout": {"vertical": 0.02}},
}  # fmt: skip


def test_everything_is_shown() -> None:
    page = data_report_html(FACTS)
    for text in (
        "不合格",
        "矛盾",
        "contradictions",
        "medical",
        "電話番号",
        "CC0-1.0",
        "a:1",
        "b:2",
        "x.pdf",
        "base64",
        "1,234",
    ):
        assert text in page, text
    assert "ほかに" in page and "59" in page  # of 60 failing rows one is shown
    assert page.count("<svg") == 5 and "短い" in page and "vertical" in page


def test_what_the_data_says_is_inert() -> None:
    page = data_report_html(FACTS)
    assert "<script" not in page and "alert(1)" in page and "https:" not in page and 'style="' not in page
    assert "default-src 'none'" in page and page.count("<bdi>") > 5
    assert len(re.findall("alert", page)) < 40  # cut, not repeated in full


def test_the_plots_are_well_formed() -> None:
    for svg in re.findall(r"<svg.*?</svg>", data_report_html(FACTS), re.S):
        ElementTree.fromstring(svg)


@pytest.mark.parametrize("key", FACTS)
def test_whatever_is_missing_is_left_out(key: str) -> None:
    page = data_report_html({k: v for k, v in FACTS.items() if k != key})
    assert "</html>" in page


def test_nothing_at_all() -> None:
    assert "合格" in data_report_html({}) and data_report_markdown({}, "en").startswith("# Data validation report")


def test_markdown_has_the_same_figures() -> None:
    text = data_report_markdown(FACTS, "ja")
    assert "✕ 矛盾: 60 (0)" in text and "| medical | 3 | 5 | 1 | 7 | 4 |" in text and "## 重複" in text
    assert all(line.count("|") >= 3 for line in text.splitlines() if line.startswith("|"))
    assert "## Duplicates" in data_report_markdown(FACTS, "en")


def test_the_short_form() -> None:
    rows = dict(data_report_rows(FACTS, "ja"))
    assert rows["検査"] == "1 / 2  矛盾" and rows["用途"] == "train 10, test 2" and rows["足りない文章"] == "medical 4"
    assert rows["外した文章"] == "quality 4" and rows["重複"] == "exact 1, near 2, clusters 1"
    assert dict(data_report_rows(FACTS, "en"))["masked"] == "電話番号 3" and data_report_rows({}, "ja") == [
        ["検査", "0 / 0"]
    ]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=6), st.integers(0, 10**9))
@settings(max_examples=50)
def test_bars_of_any_counts(parts: list[tuple[int, int]], quota: int) -> None:
    rows = [CountBar(f"b{n}", pair, quota) for n, pair in enumerate(parts)]
    ElementTree.fromstring(count_bars(rows, (Words("一"), Words("二")), title=Words("題")))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**6)), max_size=8))
@settings(max_examples=50)
def test_histograms_of_any_bins(bins: list[tuple[float, int]]) -> None:
    ElementTree.fromstring(histogram([(Words("残"), bins)], title=Words("題"), unit=Words("字"), step=0.5))


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError):
        count_bars([CountBar("x", (-1,))], (Words("一"),), title=Words("題"))
    with pytest.raises(ValueError):
        histogram([(Words("残"), [(float("nan"), 1)])], title=Words("題"), unit=Words("字"), step=1)
