"""Every measure against values worked out by hand, and against what must hold for any text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.prove.tasks.metrics import (
    bleu,
    char_f1,
    common_subsequence,
    contains,
    exact,
    normalise,
    normalised,
    rouge_l,
    rouge_n,
)

japanese = st.text(st.sampled_from("会議室の予約を取り消す。、 15３.-%ＡbカﾞABC「」\n"), max_size=24)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("　富士山 です。\n", "富士山です"),
        ("ＨＴＴＰＳ", "https"),
        ("ﾊﾞｯｸｱｯﾌﾟ", "バックアップ"),
        ("1,000円、5.5%(税込)", "1000円5.5%税込"),
        ("9:30〜10:00", "9:30〜10:00"),
        ("データ・ベース", "データベース"),
        ("「病院前」", "病院前"),
        ("10/1-3", "10/1-3"),
        ("終わり.", "終わり"),
        ("会\u200b議", "会議"),
        ("", ""),
    ],
)
def test_normalise(text: str, want: str) -> None:
    assert normalise(text) == want


@given(japanese)
def test_normalise_twice_is_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_exact_and_normalised() -> None:
    assert exact(" 富士山\n", ["富士山"]) == 1.0 and exact("富士山。", ["富士山"]) == 0.0
    assert normalised("富士山。", ["高尾山", "富士山"]) == 1.0 and normalised("富士山です", ["富士山"]) == 0.0
    assert exact("x", []) == normalised("x", []) == contains("x", []) == char_f1("x", []) == 0.0


@pytest.mark.parametrize(
    ("reply", "answer", "want"),
    [
        ("答えは５個です。", "5個", 1), ("15個です", "5個", 0), ("5個です", "5", 1), ("50個です", "5", 0),
        ("3.5%です", "5%", 0), ("3.5%です", "3", 0), ("3. 5%です", "5%", 1), ("9:30に開きます", "30", 0),
        ("WLANです", "LAN", 0), ("無線LANです", "lan", 1), ("RAMと言います", "RAM", 1), ("15分か5分です", "5分", 1),
        ("10月1日", "1日", 1), ("11月11日", "1日", 0), ("", "5", 0), ("。", "。", 0), ("都道府県知事です", "知事", 1),
    ],
)  # fmt: skip
def test_contains(reply: str, answer: str, want: int) -> None:
    assert contains(reply, [answer]) == want


def test_char_f1_by_hand() -> None:
    assert char_f1("富士", ["富士山"]) == pytest.approx(2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3))
    assert char_f1("山山", ["山"]) == pytest.approx(2 / 3)  # a repeated character counts once
    assert char_f1("川", ["山", "川"]) == 1.0


def test_rouge_by_hand() -> None:
    assert rouge_n("あいう", "いうえ", 1) == pytest.approx(2 / 3)
    assert rouge_n("あいう", "いうえ", 2) == pytest.approx(1 / 2)
    assert rouge_l("あいうえ", "あうえお") == pytest.approx(3 / 4)
    assert rouge_l("うあ", "あう") == pytest.approx(1 / 2)  # order counts
    assert rouge_n("あ", "あ", 2) == 0.0  # no bigram, nothing to share


def test_bleu_by_hand() -> None:
    # 5 of 5, 4 of 4, 3 of 3, 2 of 2 n-grams; five characters for a reference of eight.
    assert bleu(["あいうえお"], ["あいうえおかきく"]) == pytest.approx(math.exp(1 - 8 / 5))
    # 1-grams 4/5, 2-grams 3/4, 3-grams 2/3, 4-grams 1/2, no brevity.
    assert bleu(["あいうえん"], ["あいうえお"]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # No 3-gram and no 4-gram in common: (1/2)/2 and (1/4)/1 by exp smoothing, after 2/4 and 1/3.
    assert bleu(["あいんん"], ["あいうえ"]) == pytest.approx((2 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25)


def test_bleu_is_of_the_corpus() -> None:
    one, other = bleu(["あいうえん", "かきくけこ"], ["あいうえお", "かきくけこ"]), bleu(["かきくけこ"], ["かきくけこ"])
    assert other == 1.0 and one == pytest.approx((9 / 10 * 7 / 8 * 5 / 6 * 3 / 4) ** 0.25)
    assert bleu([], []) == bleu(["あ"], ["あ"]) == bleu(["いろはに"], ["ほへとち"]) == 0.0


@given(japanese, japanese)
def test_every_measure_is_a_share_and_one_for_the_same(a: str, b: str) -> None:
    for value in (rouge_n(a, b, 1), rouge_n(a, b, 2), rouge_l(a, b), char_f1(a, [b]), bleu([a], [b])):
        assert 0 <= value <= 1
    assert rouge_l(a, b) <= rouge_n(a, b, 1) + 1e-12  # a common subsequence is common characters
    assert rouge_n(a, b, 1) == pytest.approx(char_f1(b, [a]))
    if normalise(a):
        assert rouge_l(a, a) == rouge_n(a, a, 1) == char_f1(a, [a]) == contains(a, [a]) == 1.0


@given(japanese, japanese)
def test_common_subsequence_as_by_the_table(a: str, b: str) -> None:
    row = [0] * (len(b) + 1)
    for c in a:
        row = [0, *_next(row, b, c)]
    assert common_subsequence(a, b) == row[-1]


def _next(row: list[int], b: str, c: str) -> list[int]:
    made: list[int] = []
    for j, d in enumerate(b):
        made.append(row[j] + 1 if c == d else max(row[j + 1], made[-1] if made else 0))
    return made


def test_bleu_as_sacrebleu_counts() -> None:
    """The other implementation, where it is installed."""
    sacrebleu = pytest.importorskip("sacrebleu")
    replies, references = (
        ["来週の会議は中止です", "棚の色が違った", "納期"],
        ["来週の会議は延期です", "棚の色が見本と違う", "納期は四月"],
    )
    theirs = sacrebleu.corpus_bleu(replies, [references], tokenize="char").score
    assert bleu(replies, references) == pytest.approx(theirs / 100, abs=1e-6)
