"""Scores by gathering are the scores by multiplying, and grams are hashed alike on every machine."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.decide.codes import encode_folded
from so8t.decide.linear import BUCKETS, cut, features, grams, scores, softmax

RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(size=(5, BUCKETS)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)
TEXTS = st.lists(st.text(st.sampled_from("航空機の点検abc。 ①"), max_size=40), max_size=6)


@given(TEXTS, st.integers(1, 50))
@settings(max_examples=100)
def test_gathered_equals_multiplied(texts: list[str], longest: int) -> None:
    found = grams(encode_folded(texts), longest)
    rows, buckets, values = features(found)
    dense = np.zeros((len(texts), BUCKETS), np.float32)
    dense[rows, buckets] = values
    wanted = dense @ WEIGHT.T + BIAS
    assert np.allclose(scores(found, WEIGHT, BIAS), wanted, atol=1e-3)


@given(TEXTS, st.integers(1, 20))
def test_cut_keeps_the_beginning(texts: list[str], longest: int) -> None:
    whole = encode_folded(texts)
    short = cut(whole, longest)
    assert short.lengths.tolist() == np.minimum(whole.lengths, longest).tolist()
    for a, b, c in zip(short.starts, whole.starts, short.lengths, strict=True):
        assert (short.units[a : a + c] == whole.units[b : b + c]).all()


def test_one_text_does_not_change_another() -> None:
    alone = scores(grams(encode_folded(["離陸前の点検"]), 600), WEIGHT, BIAS)
    among = scores(grams(encode_folded(["融資", "離陸前の点検", ""]), 600), WEIGHT, BIAS)
    assert np.allclose(alone[0], among[1], atol=1e-4) and np.allclose(among[2], BIAS, atol=1e-6)


def test_the_same_on_every_machine() -> None:
    """Hashing must not depend on PYTHONHASHSEED or on byte order: training and serving are two machines."""
    found = grams(encode_folded(["航空"]), 600)
    a, b = ord("航"), ord("空")
    mask = 0xFFFFFFFF
    single = [((c * 0x85EBCA6B & mask) >> 13) % BUCKETS for c in (a, b)]
    pair = ((a * 0x9E3779B1 & mask) ^ (b * 0xC2B2AE35 & mask)) >> 11
    assert found.single.tolist() == [*single, BUCKETS]
    assert found.pair.tolist() == [pair % BUCKETS, BUCKETS, BUCKETS]


def test_softmax_of_anything_sums_to_one() -> None:
    assert np.allclose(softmax(np.array([[1e9, 0.0], [-5.0, -5.0]])), [[1, 0], [0.5, 0.5]])
