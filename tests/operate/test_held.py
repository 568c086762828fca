"""What a model wrote is held to its source: no number, name or denial that the source lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.held import held, standing_on, unheard, value

SAID = [
    "じゃあ一億六千、十年。これで組もう。さっきの二億はなし。",
    "わかりました、一億六千の十年で。担保はハーネス工場に。",
]


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("一億六千の十年で組む。", True),
        ("1億6千の10年で組む。", True),
        ("一億六千の十五年で組む。", False),
        ("三億の十年で組む。", False),
        ("カメラ工場を担保に一億六千の十年で組む。", False),
        ("二億はなしとする。", True),
        ("山田部長が承認して組む。", False),
        ("", False),
        ("。。。", False),
    ],
)
def test_what_holds(sentence: str, holds: bool) -> None:
    assert held(sentence, SAID) is holds


def test_a_denial_must_be_in_the_source() -> None:
    source = ["来週の水曜から新しい帳票を使います。"]
    assert held("来週の水曜から新しい帳票を使う。", source)
    assert not held("来週の水曜から新しい帳票を使わない。", source)


@given(st.integers(0, 10**8 - 1))
def test_kanji_numerals(number: int) -> None:
    assert value(kanji(number)) == number


def kanji(number: int) -> str:
    """Written out, as 三千二百十 and 一億二千万."""
    if number == 0:
        return "〇"
    parts = []
    for name, size in (("億", 10**8), ("万", 10**4), ("", 1)):
        part, number = divmod(number, size)
        if part:
            parts.append(_thousands(part) + name)
    return "".join(parts)


def _thousands(number: int) -> str:
    made = ""
    for name, size in (("千", 1000), ("百", 100), ("十", 10), ("", 1)):
        digit, number = divmod(number, size)
        if digit:
            made += ("" if digit == 1 and name else "〇一二三四五六七八九"[digit]) + name
    return made


@given(st.sampled_from(SAID), st.integers(1, 10**6))
def test_a_number_from_nowhere_never_holds(sentence: str, number: int) -> None:
    made = f"{sentence}{number}"
    assert number in (10, 16_000, 160_000_000) or unheard(made, SAID)


def test_where_a_sentence_stands() -> None:
    source = ["天気の話です。", "出張の旅費は", "七日以内に精算します。", "昼にしましょう。"]
    assert standing_on("出張の旅費は七日以内に精算する。", source) == (1, 2)
    assert standing_on("給与から差し引きます。", source) == ()
