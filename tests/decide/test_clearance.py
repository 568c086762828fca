"""No read up: the stated level and the markings, whichever is higher."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import so8t
from so8t.core.errors import LevelUnknown
from so8t.core.types import Decision, Request
from so8t.decide.clearance import classification_from_markers, clearance_opinion, effective_classification
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.views import views

FILE = Path(so8t.__file__).parent / "resources" / "policies" / "demo.toml"
LEVELS = ("公開", "社内限定", "部外秘", "極秘")


@pytest.fixture(scope="module")
def demo() -> Policy:
    return parse_policy(FILE.read_text(encoding="utf-8"), "demo.toml")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("【極秘】次期計画", "極秘"),
        ("取扱区分:部外秘 点検記録", "部外秘"),
        ("（社外秘）見積", "部外秘"),
        ("区分：社内限定", "社内限定"),
        ("[CONFIDENTIAL] report", "部外秘"),
        ("【社内限定】と【極秘】の二通", "極秘"),
        ("社外秘と部外秘の違いを教えてください", None),
        ("極秘任務という映画の感想", None),
        ("朝礼の話題", None),
    ],
)
def test_markings_are_read_and_mentions_are_not(text: str, level: str | None, demo: Policy) -> None:
    assert classification_from_markers(text, demo) == level


def opinion_of(policy: Policy, query: str, clearance: str, classification: str | None) -> Decision | None:
    request = Request("1", query, clearance, classification)
    found = clearance_opinion(request, views(query), policy)
    return found.decision if found else None


@pytest.mark.parametrize("clearance", LEVELS)
@pytest.mark.parametrize("classification", LEVELS)
def test_the_matrix(clearance: str, classification: str, demo: Policy) -> None:
    gap = LEVELS.index(classification) - LEVELS.index(clearance)
    expected = Decision.DENY if gap >= 2 else Decision.ESCALATE if gap == 1 else None
    assert opinion_of(demo, "要約してください", clearance, classification) is expected


@pytest.mark.parametrize(
    ("stated", "level"), [(None, "部外秘"), ("公開", "部外秘"), ("部外秘", "部外秘"), ("極秘", "極秘")]
)
def test_the_higher_of_statement_and_marking_counts(stated: str | None, level: str, demo: Policy) -> None:
    request = Request("1", "【部外秘】を要約", "社内限定", stated)
    assert effective_classification(request, views(request.query), demo) == level


def test_a_disguised_marking_counts(demo: Policy) -> None:
    assert opinion_of(demo, "【極\u200b秘】を要約", "社内限定", None) is Decision.DENY


def test_no_level_no_opinion(demo: Policy) -> None:
    assert opinion_of(demo, "朝礼の話題", "公開", None) is None


def test_the_reason_names_both_levels(demo: Policy) -> None:
    found = clearance_opinion(Request("1", "要約", "公開", "極秘"), views("要約"), demo)
    assert found is not None and found.gap == 3
    assert "極秘" in found.reason and "公開" in found.reason


@pytest.mark.parametrize(("clearance", "classification"), [("最高", None), ("公開", "最高"), ("", "公開")])
def test_an_unknown_level_is_an_error(clearance: str, classification: str | None, demo: Policy) -> None:
    with pytest.raises(LevelUnknown):
        opinion_of(demo, "要約", clearance, classification)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("次を要約してください。\n\n極秘\n合併の計画です。", "極秘"),
        ("社外秘\r\n単価の一覧", "部外秘"),
        ("要約して\n  社 外 秘 \n単価", "部外秘"),
        ("要約して\nInternal Use Only\n単価", "社内限定"),
        ("要約して\n極\u200b秘\n合併の計画", "極秘"),
        ("極秘", None),  # a word asked about is no document
        ("区分の違いを説明してください。\n公開\n社内限定\n部外秘\n極秘", None),
        ("極秘という語の意味は\n何ですか", None),
    ],
)
def test_a_pasted_line_that_is_nothing_but_a_level_is_a_marking(text: str, level: str | None, demo: Policy) -> None:
    assert effective_classification(Request("1", text, "社内限定"), views(text), demo) == level


def test_many_short_lines_take_no_time(demo: Policy) -> None:
    text = "秘\n" * 10_000
    readings = views(text)
    begin = time.perf_counter()
    assert effective_classification(Request("1", text, "社内限定"), readings, demo) is None
    assert time.perf_counter() - begin < 1
