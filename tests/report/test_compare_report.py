"""The page of a comparison: every figure and every verdict is there, inert and self-contained, whatever it is given."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.compare import comparison_report
from so8t.report.compare_plots import differences
from so8t.report.compare_words import FIGURE_WORDS, MEANINGS, comparison_text, method_words, statement, verdict_words

EVIL = "<script>alert(1)</script>\u2028\u202e\u200b\"'&"
Record = dict[str, Any]


def row(name: str, mean: float = -0.2, **more: Any) -> Record:
    return {
        "name": name, "better": "lower", "relative": name == "train_loss", "plan": None, "p_holm": 0.01, "p": 0.001,
        "control": 2.0, "treatment": 2.0 + mean, "differences": [mean - 0.01, mean, mean + 0.01], "mean": mean, "n": 3,
        "low": mean - 0.05, "high": mean + 0.05, "documents": {"low": mean - 0.1, "high": mean + 0.1, "n": 40},
        "verdict": "effect", "good": mean < 0,
    } | more  # fmt: skip


ROWS = [
    row("train_loss", plan=-0.1, reached=True),
    row("sigma", 0.01, p_holm=0.8, verdict="none", plan=-0.05, reached=False),
    row("bleu", 0.0, low=None, high=None, p_holm=None, verdict="undecided", why="spread", documents=None),
    row("validation_loss"),
    row("long_loss", 0.3),
    row("accuracy", 0.02, verdict="none", why="documents", better="higher"),
    {"name": "angle", "better": "", "relative": False, "plan": None, "p_holm": None, "verdict": "unmeasured",
     "why": "missing"},
]  # fmt: skip
RESULT: Record = {
    "factor": "train.pet.enabled", "control": "false", "alone": ["late"], "diverged": ["wild-seed9"],
    "comparisons": [{"level": "true", "seeds": [8, 9, 10], "figures": ROWS}],
    "method": {"level": 0.05, "test": "paired t", "correction": "Holm", "family": 6,
               "minimum_seeds": 3, "bootstrap": 2000},
    "runs": [
        {"name": f"{name}-seed8", "values": dict.fromkeys(FIGURE_WORDS, 1.5),
         "positions": [[0, 128, 3.5], [128, 256, 3.6]],
         "facts": {"window": 2048, "trained_tokens": 320, "context": 1024}}
        for name in ("off", "on")
    ],
}  # fmt: skip
UNPAIRED: Record = {"factor": "", "differing": {"input.validate": ['"a"', '"b"']}, "runs": RESULT["runs"]}


@pytest.fixture(scope="module")
def page() -> str:
    return comparison_report(RESULT, "ja")


def test_everything_is_said(page: str) -> None:
    for part in (
        "train.pet.enabled: false → true", "差がある(良くなった)", "effect, WORSE", "効果は示されなかった",
        "判定できない",
        "シードの間に差がない", "文書を引き直すと 0 をまたぐ", "片方にない", "late", "wild-seed9", "8, 9, 10",
        "-20.00 %",
        "-10.00 %: 届いた", "not reached", "+2.0 pt", "Holm", "2,048", "外挿", "検証用の分割", "位置ごとの", "3.6000",
    ):  # fmt: skip
        assert part in page, part
    for words in (*FIGURE_WORDS.values(), *MEANINGS.values()):
        assert words.en.replace("'", "&#39;") in page and words.ja in page


def test_the_first_sentence_is_the_finding() -> None:
    first = statement(RESULT)[0]
    assert first.ja.startswith("true: 5 項目のうち 3 項目に差がある: 学習の損失") and "+0.3000" in first.en
    none = {"comparisons": [{"level": "true", "figures": [row("sigma", verdict="none")]}]}
    assert statement(none)[0].en == "true: no effect shown (1 figures)."
    assert "判定できる項目がありません" in statement({"comparisons": [{"level": "x", "figures": []}]})[0].ja
    assert "判定はありません" in statement(UNPAIRED)[0].ja


def test_english_first() -> None:
    assert '<html lang="en">' in comparison_report(RESULT, "en") and "No effect shown" not in comparison_report(
        {}, "en"
    )


def test_runs_that_are_no_pair() -> None:
    page = comparison_report(UNPAIRED)
    assert "input.validate" in page and "off-seed8" in page and "…" in page and "95 % 区間(シード)" not in page
    assert len(method_words(UNPAIRED)) == 3  # the split and the windows, no test


def test_nothing_runs_and_nothing_is_loaded(page: str) -> None:
    assert not re.search(r"<script|javascript:|\son\w+=|<(link|img|iframe|object)\b|style=", page)
    assert not re.search(r"(src|href)=\"(?!#)", page) and "url(" not in page
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'" in page


def test_the_same_bytes_again(page: str) -> None:
    assert comparison_report(json.loads(json.dumps(RESULT)), "ja") == page


def test_evil_text_stays_text() -> None:
    evil = json.loads(json.dumps(RESULT))
    evil |= {"factor": EVIL, "control": EVIL, "alone": [EVIL], "diverged": [EVIL]}
    evil["comparisons"][0]["level"] = EVIL
    evil["comparisons"][0]["figures"][0] |= {"name": EVIL, "verdict": EVIL, "why": EVIL}
    evil["runs"][0]["name"] = EVIL
    for page in (
        comparison_report(evil),
        comparison_text(evil, "ja"),
        comparison_report(UNPAIRED | {"differing": {EVIL: [EVIL]}}),
    ):
        assert "\u202e" not in page and "\u200b" not in page
    assert "<script>" not in comparison_report(evil)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_terminal_has_the_same_verdicts(lang: str) -> None:
    text = comparison_text(RESULT, lang)
    for r in ROWS:
        assert verdict_words(r).only(lang) in text
    assert "input.validate" in comparison_text(UNPAIRED, lang) and "off-seed8" in comparison_text(UNPAIRED, lang)


def test_the_plot_is_whole_and_says_what_it_shows() -> None:
    drawn = differences(ROWS)
    tree = ElementTree.fromstring(drawn)
    text = "".join(tree.itertext())
    assert "-20.00 %" in text and "検証の交差エントロピー" in text and "回転角" not in text  # what has no difference
    assert drawn.count("<circle") == 6 * 4 and "nan" not in drawn.lower()
    assert ElementTree.fromstring(differences([])) is not None
    alone = ElementTree.fromstring(
        differences([row("sigma", 0.0, low=None, high=None, documents=None, differences=[0.0])])
    )
    assert alone is not None


@pytest.mark.parametrize("junk", [3, True, "text", [3], [[3]], {"a": 3}, float("nan"), None])
def test_every_key_may_hold_any_kind(junk: Any) -> None:
    for key in RESULT:
        assert comparison_report(RESULT | {key: junk}) and comparison_text(RESULT | {key: junk}, "ja")
    for key in ROWS[0]:
        part = {"level": junk, "seeds": junk, "figures": [ROWS[0] | {key: junk}]}
        assert comparison_text(RESULT | {"comparisons": [part]}, "ja") and differences(part["figures"])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=15)
@given(st.dictionaries(st.sampled_from(sorted(row("x"))), JUNK))
def test_a_row_may_hold_anything(junk: Record) -> None:
    result = RESULT | {"comparisons": [{"level": "x", "seeds": [1], "figures": [row("sigma") | junk]}]}
    assert comparison_report(result) and comparison_text(result, "en")


@settings(max_examples=15)
@given(st.dictionaries(st.sampled_from(sorted(RESULT)), JUNK), JUNK)
def test_a_result_may_hold_anything(junk: Record, runs: Any) -> None:
    assert comparison_report(RESULT | junk)
    assert comparison_text(
        RESULT | junk | {"runs": [{"name": runs, "values": runs, "positions": runs, "facts": runs}]}, "ja"
    )
