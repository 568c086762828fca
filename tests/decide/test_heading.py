"""Levels as offices write them over a page and into a file's name; and words that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.packaged import policy_text
from so8t.decide.heading import HEAD, level_alone, level_named
from so8t.decide.policy import parse_policy

POLICY = parse_policy(*policy_text("demo"))


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("社外秘", "部外秘"), ("  極 秘  ", "極秘"), ("社 外 秘", "部外秘"), ("社外秘 厳禁", "部外秘"),
        ("取扱注意・極秘", "極秘"), ("CONFIDENTIAL", "部外秘"), ("Confidential - Do not copy", "部外秘"),
        ("Internal Use Only", "社内限定"), ("社内限り", None), ("※社外秘※", "部外秘"), ("極秘資料", "極秘"),
        ("社外秘の資料を送ってください。", None), ("This is confidential and private", None), ("極秘裏に進める", None),
        ("機密保持契約について", None), ("「極秘」という語の説明。", None), ("公開", None), ("", None),
    ],
)  # fmt: skip
def test_a_line_alone(line: str, level: str | None) -> None:
    assert level_alone(f"{line}\n買収の相手は乙社です。", POLICY) == level


def test_only_the_head_and_the_foot_of_a_page_count() -> None:
    body = [f"{n} 行目の文章です。" for n in range(40)]
    assert level_alone("\n".join([*body[:20], "極秘", *body[20:]]), POLICY) is None
    assert level_alone("\n".join([*body[:20], "極秘", *body[20:]]), POLICY, anywhere=True) == "極秘"
    assert level_alone("\n".join([*body, "社外秘"]), POLICY) == "部外秘"
    assert level_alone("\n".join([*body[: HEAD - 1], "", "極秘", *body]), POLICY) == "極秘"
    assert level_alone("社外秘\n本文\n極秘", POLICY) == "極秘"  # of two the higher


@pytest.mark.parametrize(
    ("names", "level"),
    [
        (("社外秘_売上.xlsx",), "部外秘"), (("極秘", "計画.txt"), "極秘"), (("2026-計画(極秘).docx",), "極秘"),
        (("売上 社外秘 写.pdf",), "部外秘"), (("社外秘の扱い方.docx",), None), (("report.confidential.txt",), "部外秘"),
        (("計画.txt",), None), ((), None),
    ],
)  # fmt: skip
def test_a_name(names: tuple[str, ...], level: str | None) -> None:
    assert level_named(names, POLICY) == level


@given(st.text(), st.booleans())
def test_whatever_is_read_it_is_a_level_or_none(text: str, anywhere: bool) -> None:
    assert level_alone(text, POLICY, anywhere=anywhere) in (None, *POLICY.levels.names)
    assert level_named([text], POLICY) in (None, *POLICY.levels.names)
