"""BLEU from counts: the one of the task metrics to the last digit, known ends of its scale, sums over texts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.prove.ablation.bleu import COUNTS, bleu, bleu_counts
from so8t.prove.tasks import metrics

TEXTS = st.text("あいうえお検査は。 ", max_size=30)


def points(*pairs: tuple[str, str]) -> float:
    return float(bleu(np.array([bleu_counts(*p) for p in pairs], dtype=float).sum(0)))


@given(st.lists(st.tuples(TEXTS, TEXTS.map(lambda t: "検" + t)), min_size=1, max_size=4))
def test_the_same_as_the_metric_of_the_tasks(pairs: list[tuple[str, str]]) -> None:
    made, references = zip(*pairs, strict=True)
    assert points(*pairs) == pytest.approx(100 * metrics.bleu(made, references))
    assert 0 <= points(*pairs) <= 100 + 1e-9


def test_the_reference_itself_has_all_points() -> None:
    assert points(("検査は終わり", "検査は終わり")) == pytest.approx(100)
    assert points(("検 査 は 終わり。", "検査は終わり")) == pytest.approx(100)


def test_by_hand() -> None:
    """あいうえお against あいうえか: matches 4/5, 3/4, 2/3, 1/2, same length."""
    assert points(("あいうえお", "あいうえか")) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_what_is_too_short_pays() -> None:
    assert points(("あいうえ", "あいうえおかきく")) == pytest.approx(100 * math.exp(1 - 8 / 4))


def test_a_character_repeated_matches_once() -> None:
    assert bleu_counts("ああああ", "あいうえ")[0] == 1 and len(bleu_counts("", "")) == COUNTS


@pytest.mark.parametrize("made", ["", "   ", "かきくけ", "あ"])
def test_nothing_alike_is_zero(made: str) -> None:
    assert points((made, "あいうえ")) == 0


def test_no_reference_is_no_value() -> None:
    assert math.isnan(points(("あいうえ", "")))


def test_many_sums_at_once() -> None:
    counts = np.array([bleu_counts("あいうえお", "あいうえか"), bleu_counts("あいう", "検査は")], dtype=float)
    assert bleu(counts).shape == (2,) and bleu(np.stack([counts, counts])).shape == (2, 2)
