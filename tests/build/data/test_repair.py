"""Texts come out as their authors meant them, in pieces that lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.data.repair import repair, repaired, split_long, turned_back, without_boilerplate

PROSE = "夜の間に届いた荷物は、朝の八時までに棚へ移します。重い箱は下の段に置いてください。"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ｶﾞｽ の点検", "ガス の点検"),
        ("か\u3099く", "がく"),
        ("点\u200b検\x07", "点検"),
        ("a  b\xa0c\t\td", "a b c d"),
        ("一\r\n\r\n \n二", "一\n\n二"),
        ("\ufeff見出し", "見出し"),
        (PROSE, PROSE),
        ("", ""),
    ],
)
def test_repair(before: str, after: str) -> None:
    assert repair(before) == after and repaired([before, PROSE]) == [after, PROSE]


@pytest.mark.parametrize("route", [("utf-8", "cp932"), ("utf-8", "latin-1"), ("euc_jp", "cp932"), ("cp932", "latin-1")])
def test_mojibake_without_loss_is_turned_back(route: tuple[str, str]) -> None:
    text = "カタカナとひらがなの両方で書いた長い文章。"
    try:
        broken = text.encode(route[0]).decode(route[1])
    except UnicodeDecodeError:
        pytest.skip("this text does not survive the wrong reading")
    assert turned_back(broken) == text


def test_what_lost_bytes_stays_broken() -> None:
    broken = PROSE.encode("utf-8").decode("cp932", "replace")
    assert "夜の間" not in repair(broken)


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from([PROSE, "ﾊﾟ", "か\u3099"]), max_size=5)
)
@settings(max_examples=200)
def test_many_are_repaired_as_each_alone(texts: list[str]) -> None:
    assert repaired(texts) == [repair(text.replace("\0", "")) for text in texts]


@given(st.text(st.sampled_from("あいう。！\n」a"), max_size=300), st.integers(10, 60))
@settings(max_examples=200)
def test_pieces_are_short_and_lose_nothing_but_space(text: str, longest: int) -> None:
    pieces = split_long(text, longest)
    assert all(0 < len(p) <= longest for p in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_cuts_fall_between_sentences() -> None:
    pieces = split_long(PROSE * 10, 200)
    assert all(p.endswith("。") for p in pieces) and max(map(len, pieces)) - min(map(len, pieces)) < 90


def test_lines_that_many_texts_carry_go() -> None:
    texts = [f"ホーム > 製品\n第{n}号の点検を終えた。\n無断転載を禁じます" for n in range(12)]
    kept, removed = without_boilerplate(texts)
    assert kept == [f"第{n}号の点検を終えた。" for n in range(12)] and removed == 24
    assert without_boilerplate(texts[:5]) == (texts[:5], 0)  # too few to tell
    long = [f"{'長い段落' * 40}\n{n}" for n in range(12)]
    assert without_boilerplate(long) == (long, 0)
