"""Alike texts share a band, the same text however spelt shares all, strangers share none."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.signatures import COLUMNS, SHINGLE, Keys, jaccard, shingle_hashes, shingle_sets, signatures
from so8t.core.text import dedup_key
from so8t.decide.codes import encode_folded

RNG = random.Random(4)
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"


def keys(texts: list[str]) -> Keys:
    folded = encode_folded(texts)
    return signatures(folded, shingle_hashes(folded))


def prose(n: int) -> str:
    return "".join(RNG.choice(KANA) for _ in range(n))


def by_hand(text: str) -> set[str]:
    key = dedup_key(text)
    return {key[i : i + SHINGLE] for i in range(len(key) - SHINGLE + 1)} or {key}


def alike(a: str, b: str) -> float:
    x, y = by_hand(a), by_hand(b)
    return len(x & y) / len(x | y)


def test_spelling_makes_no_difference() -> None:
    found = keys(["ＡＢＣの 点検記録を確認する。", "abcの点検記録を確認する。", "ｱｲｳの点検", "アイウの点検"])
    assert (found[0] == found[1]).all() and (found[2] == found[3]).all()
    assert (found[0] != found[2]).all()


def test_near_duplicates_are_found_and_strangers_are_not() -> None:
    """The theory says 0.992 at Jaccard 0.8; 200 pairs of 0.8 and more may miss a few."""
    pairs = []
    while len(pairs) < 200:
        text = prose(300)
        other = list(text)
        for _ in range(RNG.randint(1, 7)):
            other[RNG.randrange(300)] = RNG.choice(KANA)
        if alike(text, "".join(other)) >= 0.8:
            pairs.append((text, "".join(other)))
    a, b = keys([x for x, _ in pairs]), keys([y for _, y in pairs])
    assert (a == b).any(1).mean() >= 0.98
    assert not (a == np.roll(b, 1, axis=0)).any()


@given(st.lists(st.text(st.sampled_from("あい a１"), max_size=12), min_size=1, max_size=5))
def test_a_text_has_the_same_signature_in_any_company(texts: list[str]) -> None:
    together = keys(texts)
    assert together.shape == (len(texts), COLUMNS)
    for row, text in zip(together, texts, strict=True):
        assert (row == keys([text])[0]).all()


@given(st.lists(st.text(st.sampled_from("あいうえお Ａ"), max_size=20), min_size=1, max_size=4))
def test_sets_are_those_of_all_substrings(texts: list[str]) -> None:
    folded = encode_folded(texts)
    found = shingle_sets(folded)
    assert [len(s) for s in found] == [len(by_hand(t)) for t in texts]
    for x, a in zip(found, texts, strict=True):
        for y, b in zip(found, texts, strict=True):
            assert jaccard(x, y) == alike(a, b)
    hashed = shingle_hashes(folded)
    assert len(hashed.hashes) == hashed.offsets[-1]
    assert (hashed.offsets[1:] - hashed.offsets[:-1]).tolist() == [
        max(1, len(dedup_key(t)) - SHINGLE + 1) for t in texts
    ]


def test_an_empty_text_resembles_nothing() -> None:
    found = keys(["", "あ"])
    assert (found[0, 1:] == 0).all() and found[1].all()
