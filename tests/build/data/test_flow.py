"""Prose runs alike whatever it is about; what is out of order is a surprise."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.flow import SYMBOLS, learn, surprise, trigrams
from so8t.decide.codes import encode

GOOD = "夜の間に届いた荷物は、朝の八時までに棚へ移します。重い箱は下の段に置き、割れ物には札を付けてください。"
OTHER = "融資の申込みを受けた担当者は、返済の見通しを確かめてから、上司に稟議書を回すことになっている。"


def test_prose_of_any_field_is_below_shuffled_prose() -> None:
    rng = random.Random(1)
    shuffled = ["".join(rng.sample(text, len(text))) for text in (GOOD, OTHER)]
    found = surprise(encode([GOOD, OTHER, *shuffled]))
    assert found[:2].max() < 2.8 < 3.3 < found[2:].min()


def test_nouns_do_not_matter() -> None:
    a, b = surprise(encode(["装置の点検を行う。", "システムのbackupを行う。"]))
    assert a == pytest.approx(b)


@given(st.lists(st.text(st.sampled_from("あ点カa、。「x\n"), max_size=20), min_size=1, max_size=5))
def test_a_text_is_as_surprising_in_any_company(texts: list[str]) -> None:
    together = surprise(encode(texts))
    assert together == pytest.approx([surprise(encode([t]))[0] for t in texts], rel=1e-6)
    index, offsets = trigrams(encode(texts))
    assert len(offsets) == len(texts) + 1 and offsets[-1] == len(index) and (np.diff(offsets) > 0).all()


def test_the_table_is_a_distribution() -> None:
    table = np.exp(-learn([GOOD, OTHER]).reshape(SYMBOLS, SYMBOLS, SYMBOLS).astype(np.float64))
    assert np.allclose(table.sum(-1), 1, atol=1e-4)
