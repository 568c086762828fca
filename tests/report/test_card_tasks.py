"""Section "tasks": a score with its target, what a score stands for, and what was not measured left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.report.card import environment
from so8t.report.card_tasks import tasks
from so8t.report.tasks_text import tasks_table


def figure(value: float | None, n: int = 6) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": n}


SECTION: dict[str, Any] = {
    "n": 16,
    "of": 64,
    "total": {"n": 16, "score": figure(0.5, 16), "target": 0.8, "met": False},
    "tasks": {
        "general_qa": {"n": 6, "score": figure(0.9), "target": 0.85, "met": True, "exact": figure(0.5)},
        "summary": {
            "n": 40,
            "score": figure(0.25, 40),
            "target": 0.75,
            "rouge1": figure(0.3),
            "bleu": 0.1,
            "lead": 0.4,
        },
    },
    "per_domain": {"medical": {"n": 8, "qa": figure(0.5), "summary": figure(None, 0)}},
    "released": figure(0.5, 16),
    "document_characters": 260,
    "examples": [{"asked": "<i>問い</i>", "wanted": "心臓", "reply": "「、「、", "score": 0.0}],
}
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["value", "n", "score", "target", "general_qa", "summary", "qa", "lead"]), inner
        )
    ),
    max_leaves=12,
)


def rendered(section: Any, first: str = "ja") -> str:
    return environment(first).get_template("card.tasks.jinja").render(tasks=tasks(section))


def test_rows() -> None:
    found = tasks(SECTION)
    assert [(r["words"].en, r["value"], r["target"], r["met"]) for r in found["rows"]] == [
        ("General questions", "90.0 %", "≥ 85.0 %", True),
        ("Summaries", "25.0 %", "≥ 75.0 %", False),
        ("Total", "50.0 %", "≥ 80.0 %", False),
    ]
    assert [bool(r["notes"]) for r in found["rows"]] == [True, False, True]  # fewer than thirty is said
    assert [t for _, t in found["beside"][1][1]] == ["0.300", "0.100", "40.0 %"]
    assert [c["text"] for c in found["domains"][0]["cells"]] == ["50.0 %", "—"]


def test_what_a_careful_reader_must_know() -> None:
    words = " ".join(note.en for note in tasks(SECTION)["notes"])
    assert "50.0 %" in words and "260 characters" in words and "Only 16 of 64" in words
    whole = SECTION | {"n": 64, "released": figure(1.0), "document_characters": None}
    assert tasks(whole)["notes"] == []


def test_a_target_is_recomputed_not_believed() -> None:
    claimed = {"tasks": {"summary": {"score": figure(0.1), "target": 0.75, "met": True}}}
    assert tasks(claimed)["rows"][0]["met"] is False


@pytest.mark.parametrize("first", ["ja", "en"])
def test_page(first: str) -> None:
    page = rendered(SECTION, first)
    assert "90.0 %" in page and "ROUGE-1" in page and "<i>問い" not in page and "&lt;i&gt;" in page


@pytest.mark.parametrize("section", [{}, {"tasks": 3}, {"tasks": {"summary": {"score": figure(None)}}}])
def test_nothing_to_show(section: Any) -> None:
    assert tasks(section) == {} and tasks_table(section) == "—"


@pytest.mark.parametrize(("lang", "word"), [("ja", "一般の質問"), ("en", "General questions")])
def test_the_table(lang: str, word: str) -> None:
    text = tasks_table(SECTION, lang)
    assert word in text and "ROUGE-1" in text and ("未達" if lang == "ja" else "not met") in text


@given(st.dictionaries(st.sampled_from(["tasks", "total", "per_domain", "examples", "released", "n", "of"]), anything))
def test_whatever_a_card_holds(section: Any) -> None:
    assert tasks_table(section)
    if tasks(section):
        assert rendered(section)
