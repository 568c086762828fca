"""Facts about Japanese text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.text import clean, dedup_key, japanese_ratio, kana_ratio, ngrams, sentences


def test_sentences_keep_their_ends() -> None:
    text = "「行きます。」と言った。本当か？\nはい！　終わり"
    assert sentences(text) == ["「行きます。」", "と言った。", "本当か？", "はい！", "終わり"]
    assert sentences("") == [] and sentences("。。。") == ["。。。"]


@given(st.text(alphabet="あ漢a。！？」\n 　", max_size=60))
def test_sentences_lose_nothing_but_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_dedup_key_folds_spelling_only() -> None:
    same = [
        "ABC株式会社 を調べて",
        "ＡＢＣ株式会社を調べて",
        "abc株式会社\u200bを 調べて\n",
        "ABC㈱を調べて".replace("㈱", "株式会社"),
    ]
    assert len({dedup_key(t) for t in same}) == 1
    assert dedup_key("ｶﾞｽ") == dedup_key("ガス") == dedup_key(unicodedata.normalize("NFD", "ガス"))
    assert dedup_key("送ってください") != dedup_key("送らないでください")


def test_clean_is_not_a_judgement() -> None:
    assert clean(" か\u3099\x00一\r\n二\r三\x1b ") == "が一\n二\n三"
    assert clean("ＡＢＣ①") == "ＡＢＣ①"  # spelling stays
    assert clean("\tタブ\n") == "タブ"


@given(st.text())
def test_clean_is_stable(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_a_control_character_does_not_keep_a_mark_from_its_letter() -> None:
    assert clean("か\x00\u3099") == "が"


@pytest.mark.parametrize(
    ("text", "japanese", "kana"),
    [
        ("", 0.0, 0.0),
        ("あア漢", 1.0, 2 / 3),
        ("abcd", 0.0, 0.0),
        ("漢字", 1.0, 0.0),
        ("ab漢か", 0.5, 0.25),
        ("々〆", 1.0, 0.0),
    ],
)
def test_ratios(text: str, japanese: float, kana: float) -> None:
    assert japanese_ratio(text) == pytest.approx(japanese)
    assert kana_ratio(text) == pytest.approx(kana)


def test_ngrams() -> None:
    assert ngrams("あいう", 2) == ["あい", "いう"]
    assert ngrams("あ", 3) == []
