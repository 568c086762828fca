"""Section "consistency": the plan's target beside, the counter-check beside, and whatever a card may hold instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.report.card import environment, resource
from so8t.report.card_consistency import consistency
from so8t.report.consistency_text import log_table

FIGURE = {"value": 0.9375, "low": 0.84, "high": 1.0, "n": 96}
NOTHING = {"value": None, "low": None, "high": None, "n": 0}
MEMBERS = [
    {"id": "1", "text": "案内文を<b>書いて</b>", "decision": "ALLOW", "confidence": 0.9},
    {"id": "2", "text": "案内文をご用意ください", "decision": "ESCALATE", "confidence": 0.1},
]
SECTION: dict[str, Any] = {
    "paraphrases": {
        "pairs": FIGURE, "groups": FIGURE | {"value": 0.7, "n": 16}, "told_apart": FIGURE | {"value": 0.65},
        "broken": [{"label": "ALLOW", "members": MEMBERS}],
    },
    "minimal_pairs": FIGURE | {"value": 0.73, "n": 175},
    "log": {"score": NOTHING},
}  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "n", "pairs", "log", "score", "broken", "members", "worst"]), inner)
    ),
    max_leaves=12,
)


def rendered(section: Any, first: str = "ja") -> str:
    return environment(first).get_template("card.consistency.jinja").render(consistency=consistency(section))


def test_rows() -> None:
    rows = {r["words"].en: r for r in consistency(SECTION)["rows"]}
    assert len(rows) == 4  # nothing was alike in the evaluation: no row rather than a zero
    first = rows["Consistency over paraphrases"]
    assert (first["value"], first["interval"], first["n"]) == ("93.8 %", "84.0–100.0", "96")
    assert first["target"] == "> 80.0 %" and first["met"] is True and first["notes"] == []
    assert rows["All four phrasings alike"]["met"] is None and rows["All four phrasings alike"]["notes"]


@pytest.mark.parametrize(("value", "met"), [(0.8, False), (0.81, True), (0.2, False)])
def test_the_plans_target_is_strict(value: float, met: bool) -> None:
    found = consistency({"paraphrases": {"pairs": FIGURE | {"value": value}}})
    assert found["rows"][0]["met"] is met


@pytest.mark.parametrize("first", ["ja", "en"])
def test_page(first: str) -> None:
    page = rendered(SECTION, first)
    assert "93.8 %" in page and "人へ回す" in page and "Told apart" in page and "<b>書いて" not in page


@pytest.mark.parametrize("section", [{}, {"paraphrases": 3}, {"paraphrases": {"pairs": NOTHING}}])
def test_nothing_to_show(section: Any) -> None:
    assert consistency(section) == {}


@given(st.dictionaries(st.sampled_from(["paraphrases", "log", "minimal_pairs"]), anything))
def test_whatever_a_card_holds(section: Any) -> None:
    if consistency(section):
        assert rendered(section)


LOG = {
    "n": 3, "groups": 1, "capped": 2, "score": FIGURE, "weighted": FIGURE, "told_apart": NOTHING, "by_chance": 0.4,
    "bands": [{"from": 0.4, "to": 0.6, **FIGURE}, {"from": 1.0, "to": 1.0, **FIGURE}],
    "over_time": {"early": FIGURE, "late": NOTHING}, "same_version": FIGURE,
    "worst": [{"likeness": 0.9, "pair": [{"id": "a\x1b[2J", "text": "本文\n二行目\x07", "decision": "DENY"}]}],
}  # fmt: skip


@pytest.mark.parametrize(("lang", "word"), [("ja", "似た依頼の一貫性"), ("en", "Consistency of like requests")])
def test_the_table_of_a_log(lang: str, word: str) -> None:
    text = log_table(LOG, lang)
    assert word in text and "> 80.0 %" in text and "40.0 %" in text
    assert ("40 %〜60 %" if lang == "ja" else "40 % to 60 %") in text
    assert "\x1b" not in text and "\x07" not in text  # a ledger's text cannot steer the terminal


@given(anything)
def test_the_table_of_whatever(found: Any) -> None:
    if isinstance(found, dict):
        assert log_table(found)


def test_the_template_has_no_script() -> None:
    assert "<script" not in resource("card.consistency.jinja") + resource("card.tasks.jinja")
