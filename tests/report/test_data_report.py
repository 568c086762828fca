"""The data report shows every figure and every failing row, inert and whole, whatever the data holds."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.data_report import MOST_FAILING, data_report_html, data_report_markdown, data_report_rows, verdict_of

EVIL = "<script>alert(1)</script>\u2028\u202e\u200b\"'&|`[x](y)\n改行"
FACTS: dict[str, Any] = {
    "run": {"name": "夜の実行", "profile": "micro", "date": "2026-11-25"},
    "checks": [
        {"name_ja": "矛盾", "name_en": "contradictions", "passed": False, "value": "60", "limit": "0", "rows_total": 60,
         "rows": [{"id": f"s{n}", "place": "written", "why": "ALLOW / DENY", "text": EVIL} for n in range(55)]},
        {"name_ja": "標本の数", "name_en": "samples", "passed": True, "value": "12", "limit": ">= 10", "rows": []},
    ],
    "splits": {"train": 10, "test": 2}, "licenses": {"CC0-1.0": 12, EVIL: 1}, "pii": {"電話番号": 3},
    "kinds": {"text": 4, "request": 1995, "multimodal": 1},
    "domains": {"medical": {"text": 3, "request": 5, "multimodal": 1, "quota": 7, "unfilled": 4}},
    "sources": [{"name": EVIL, "license": "CC0", "read": 9, "kept": 3, "quota": 5, "unfilled": 2, "characters": 1234,
                 "dropped": {"quality": 4, "empty": 0}},
                {"name": "社内文書", "license": "by document", "read": 8, "kept": 6, "characters": 99,
                 "dropped": {"no text layer: scanned": 2}}],
    "quality": {"kept_histogram": [[0.95, 3]], "dropped_histogram": [[0.1, 4]], "reasons": [["短い", "short", 4]]},
    "lengths": [[100, 2], [300, 1]],
    "duplicates": {"exact": 1, "near": 2, "clusters": 1, "compared": 31,
                   "largest": [{"size": 4, "kept": {"place": "a:1", "text": EVIL},
                                "examples": [{"place": "b:2", "jaccard": 0.9}, "plain"]}]},
    "decisions": {"train": {"ALLOW": 40, "DENY": 33, "ESCALATE": 27}, "test": {"ALLOW": 0, "DENY": 2, "ESCALATE": 0}},
    "registers": {"敬体": 6}, "attacks": {"base64": 1},
    "levels": [["極秘", "公開", "ALLOW", 2], ["社内限定", "極秘", "DENY", 5], [None, "公開", "ESCALATE", 1],
               ["特秘", "公開", "ALLOW", 3]],
    "skipped": [{"place": "x.pdf", "reason": "no text layer: scanned", "detail": ""}],
    "skipped_total": {"no text layer: scanned": 2},
    "synthesis": {"unique_queries": 0.99, "contradictions": 0, "families": {"train": 739}, "kinds": {"act": 18},
                  "pair_ngram_accuracy_by_kind": {"act": 0.481}, "new_figure": 2.5},
    "multimodal": {"pages": 3, "by_layout": {"vertical": 0.02}, "confidence": None, "left_out": ["縦書き"]},
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would find: elements, ids, links, and the text of each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(FACTS) | changes


def test_everything_is_shown() -> None:
    page = " ".join(Page(data_report_html(FACTS)).text)
    for text in (
        "不合格", "夜の実行", "矛盾", "contradictions", "Medical", "telephone number", "CC0-1.0", "a:1", "b:2", "plain",
        "x.pdf", "Base64", "1,234", "1,995", "short", "縦書き", "2.0 %", "48.1 %", "99.0 %", "new_figure", "特秘", "31",
        "0.900", "polite", "scanned",
    ):  # fmt: skip
        assert text in page, text


def test_every_figure_has_a_title_in_both_languages() -> None:
    page = data_report_html(FACTS)
    titles = re.findall(r"<figure.*?<h3>(.*?)</h3>", page, re.S)
    assert len(titles) >= 20 and all('lang="ja"' in title and 'lang="en"' in title for title in titles)
    plots = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(plots) >= 15 and all(" / " in str(ElementTree.fromstring(svg)[0].text) for svg in plots)


def test_the_contents_lead_somewhere() -> None:
    page = Page(data_report_html(FACTS))
    links = [link for link in page.values("href") if link.startswith("#")]
    assert len(links) == 13 and {link[1:] for link in links} <= set(page.values("id"))
    assert len(page.values("id")) == len(set(page.values("id")))


def test_what_the_data_says_is_inert() -> None:
    page = data_report_html(FACTS)
    found = Page(page)
    assert "script" not in found.tags and "alert(1)" in page and "a" in found.tags
    assert not {"img", "link", "iframe", "object", "base"} & set(found.tags) and "src" not in dict(found.attributes)
    assert "style" not in dict(found.attributes) and all(link.startswith("#") for link in found.values("href"))
    assert not set("\u2028\u202e\u200b") & set(page)  # nothing can turn or hide what stands beside it
    assert page.count("<bdi>") > 50


def test_the_policy_allows_the_one_style_sheet_and_nothing_else() -> None:
    page = data_report_html(FACTS)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert ".panels {" in style and ".masthead {" in style
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page.replace("&#39;", "'")


def test_failing_rows_are_shown_up_to_fifty() -> None:
    page = data_report_html(FACTS)
    assert page.count('<tr class="bad"><th scope="row"><bdi>') == MOST_FAILING and "<bdi>s49</bdi>" in page
    assert "<bdi>s50</bdi>" not in page and "ほかに 10 行" in page
    text = data_report_markdown(FACTS, "en")
    assert "| s49 |" in text and "| s50 |" not in text and "and 10 more rows" in text


def test_a_long_text_is_cut() -> None:
    rows = [{"id": "s", "place": "p", "why": "w", "text": "あ" * 5000}]
    page = data_report_html({"checks": [{"name_ja": "検", "name_en": "c", "passed": False, "rows": rows}]})
    assert "あ" * 400 + "…" in page and "あ" * 401 not in page and "more rows" not in page


@pytest.mark.parametrize(
    ("passed", "verdict", "word"), [([True, True], "passed", "合格"), ([True, "yes"], "failed", "不合格"),
                                    ([], "unjudged", "未判定")]
)  # fmt: skip
def test_only_true_is_passed(passed: list[Any], verdict: str, word: str) -> None:
    facts = {"checks": [{"name_ja": "検", "name_en": "c", "passed": p} for p in passed]}
    assert verdict_of(facts) == verdict
    assert f'class="badge {verdict}"' in data_report_html(facts)
    assert data_report_markdown(facts, "ja").splitlines()[2].startswith(f"**{word}**")


def test_columns_do_not_depend_on_the_order_of_the_facts() -> None:
    again = json.loads(json.dumps(FACTS, sort_keys=True))
    for facts in (FACTS, again):
        assert "| 学習 | 40 | 27 | 33 |" in data_report_markdown(facts, "ja")
        assert "| 医療 | 3 | 5 | 1 | 7 | 4 |" in data_report_markdown(facts, "ja")


def test_levels_stand_in_their_order() -> None:
    lines = data_report_markdown(FACTS, "ja").split("### 権限と区分ごとの判定")[1].splitlines()[4:8]
    assert [line.split("|")[1].strip() for line in lines] == ["社内限定", "極秘", "—", "特秘"]
    assert lines[0] == "| 社内限定 | 極秘 | 0 | 0 | 5 |"


def test_reasons_by_source() -> None:
    text = data_report_markdown(FACTS, "en")
    assert "| source | quality | no text layer: scanned |" in text and "| 社内文書 | 0 | 2 |" in text
    assert "| 社内文書 | by document | 8 | 6 | — | — | 99 |" in text
    assert "Dropped by source" not in data_report_markdown(changed(sources=FACTS["sources"][:1]), "en")


def test_many_names_are_counted_where_they_are_not_shown() -> None:
    text = data_report_html(changed(licenses={f"licence {n:03}": n + 1 for n in range(230)}))
    assert "ほか 206 は表にある" in text and "ほかに 30 行" in text
    assert "licence 229" in text and "licence 029" not in text


def test_long_tails_become_coarse_bins() -> None:
    text = data_report_markdown(changed(lengths=[[100 * n, 1] for n in range(1000)]), "en")
    rows = text.split("### Length of texts")[1].split("###")[0].count("\n| ") - 1
    assert 50 <= rows <= 62
    assert "| 0 | 17 |" in text


@pytest.mark.parametrize("key", FACTS)
def test_whatever_is_missing_is_left_out(key: str) -> None:
    facts = {k: v for k, v in FACTS.items() if k != key}
    assert len(Page(data_report_html(facts)).text) < len(Page(data_report_html(FACTS)).text)


def test_nothing_at_all() -> None:
    page = data_report_html({})
    assert "未判定" in page and "<section" not in page and "<figure" not in page
    assert data_report_markdown({}, "en").startswith("# Data validation report\n\n**Not judged**")


def test_masked_nothing_is_said() -> None:
    assert "none found" in data_report_html(changed(pii={})) and "none found" not in data_report_html(FACTS)


def test_markdown_tables_stay_tables() -> None:
    for lang in ("ja", "en"):
        for block in re.findall(r"(?:^\|.*\n)+", data_report_markdown(FACTS, lang), re.M):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1 and widths.pop() >= 3, block


def test_markdown_is_inert() -> None:
    text = data_report_markdown(FACTS, "ja")
    assert "<" not in text and not re.search(r"(?<!\\)[`\[\]]", text) and "alert(1)" in text
    assert not set("\u2028\u202e\u200b") & set(text)


def test_markdown_has_the_tables_of_the_page() -> None:
    page, text = data_report_html(FACTS), data_report_markdown(FACTS, "ja")
    tables = page.count("<table") - 2  # the two of the checks
    assert text.count("### ") - 1 == tables


def test_english_first() -> None:
    page = data_report_html(FACTS, "en")
    assert '<html lang="en">' in page and "Data validation report · Failed / 不合格" in page
    assert '<span class="en" lang="en">Domains</span> <span class="ja second" lang="ja">分野</span>' in page


def test_the_short_form() -> None:
    rows = dict(data_report_rows(FACTS, "ja"))
    assert rows["検査"] == "1 / 2  矛盾" and rows["用途"] == "train 10, test 2" and rows["足りない文章"] == "medical 4"
    assert rows["外した文章"] == "quality 4, no text layer: scanned 2" and rows["重複"] == "exact 1, near 2, clusters 1"
    assert dict(data_report_rows(FACTS, "en"))["masked"] == "電話番号 3" and data_report_rows({}, "ja") == [
        ["検査", "0 / 0"]
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(EVIL)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def broken(value: Any, draw: Any) -> Any:
    """The same facts with one thing in them replaced."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: broken(value[key], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [broken(value[0], draw), *value[1:]]
    return draw(ANYTHING)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_facts_may_hold_anything(data: Any) -> None:
    small = changed(checks=[FACTS["checks"][0] | {"rows": FACTS["checks"][0]["rows"][:2]}])
    key = data.draw(st.sampled_from(sorted(small)))
    facts = small | {key: broken(small[key], data.draw)}
    page = Page(data_report_html(facts))
    assert "script" not in page.tags and "style" not in dict(page.attributes)
    assert "<script" not in data_report_markdown(facts, "ja")
    assert all(len(row) == 2 for row in data_report_rows(facts, "ja"))
