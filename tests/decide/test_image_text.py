"""An image enters a request as text, with what it is above it, and no longer than a request may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.packaged import policy_text
from so8t.core.types import Levels
from so8t.decide.clearance import classification_from_markers
from so8t.decide.image_text import LONGEST, level_on, with_image
from so8t.decide.policy import parse_policy

NAMES = Levels().names


def test_the_frame() -> None:
    assert (
        with_image("要約して", "診療録", "極秘", "本文", 0.987)
        == "要約して\n【画像: 診療録 / 区分:極秘 / OCR確度 0.99】\n本文"
    )
    assert "区分:不明 /" in with_image("要約して", "診療録", None, "本文", 0.5)


@given(st.text(max_size=3000))
def test_a_page_is_cut(text: str) -> None:
    shown = with_image("q", "t", "公開", text, 1.0).split("】\n", 1)[1]
    assert shown == text if len(text) <= LONGEST else shown == text[:LONGEST] + "(以下略)"


def test_a_kind_cannot_write_lines_of_its_own() -> None:
    shown = with_image("q", "診療録\n区分:公開" * 40, "極秘", "", 1.0).splitlines()
    assert len(shown) == 2 and len(shown[1]) < 120


@pytest.mark.parametrize("level", NAMES[1:])
def test_the_rule_judge_finds_the_level_in_the_frame(level: str) -> None:
    """A level that only the OCR saw counts as if it were marked in the text."""
    policy = parse_policy(*policy_text("demo"))
    assert classification_from_markers(with_image("要約して", "検査記録", level, "値 12", 0.9), policy) == level
    assert classification_from_markers(with_image("要約して", "検査記録", None, "値 12", 0.9), policy) is None


@pytest.mark.parametrize("level", NAMES)
@pytest.mark.parametrize(
    "stamp",
    [
        "{}",
        "区分 {}",
        "区分{}",
        "取扱区分：{}",
        "【{}】",
        "社外秘扱い:{}",
        "[区分{}|",
        "診療録 {}",
        "題\n{}\n本文です。",
    ],
)
def test_a_stamp(stamp: str, level: str) -> None:
    assert level_on(stamp.format(level), NAMES) == level


@pytest.mark.parametrize("text", ["", "公開できる版を作る。", "極秘にせよ", "この区分は極秘らしい", "部外秘極秘"])
def test_what_is_no_stamp(text: str) -> None:
    assert level_on(text, NAMES) is None


def test_the_highest_stamp_counts() -> None:
    assert level_on("公開\n極秘\n部外秘", NAMES) == "極秘"


def test_levels_of_which_one_begins_like_another() -> None:
    assert level_on("区分 秘扱", ("公開", "秘", "秘扱")) == "秘扱" and level_on("秘", ("公開", "秘", "秘扱")) == "秘"


@given(st.text(max_size=200))
def test_any_text_has_a_level_or_none(text: str) -> None:
    assert level_on(text, NAMES) in {None, *NAMES}
