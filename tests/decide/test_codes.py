"""Many texts as one array say the same as the texts one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.core.text import dedup_key
from so8t.decide.codes import UNITS, Codes, encode, encode_folded

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
ODD = st.text(st.sampled_from("ｶﾞﾊﾟか\u3099ａＡ１ 　\u200b㈱①𠮷😀ㅤﾠ\nｱé"), max_size=30)


def text_of(codes: Codes, i: int) -> str:
    raw = codes.units[codes.starts[i] : codes.ends[i]]
    return raw.astype("<u2").tobytes().decode("utf-16-le", "surrogatepass")


@given(st.lists(TEXT | ODD, max_size=6))
@settings(max_examples=200)
def test_texts_come_back(texts: list[str]) -> None:
    codes = encode(texts)
    assert [text_of(codes, i) for i in range(len(codes))] == texts
    assert codes.lengths.tolist() == [len(t.encode("utf-16-le")) // 2 for t in texts]


@given(st.lists(TEXT | ODD, max_size=6))
@settings(max_examples=300)
def test_folding_is_dedup_key(texts: list[str]) -> None:
    codes = encode_folded(texts)
    assert [text_of(codes, i) for i in range(len(codes))] == [dedup_key(t) for t in texts]


def test_every_character_of_the_basic_plane_folds_as_dedup_key_does() -> None:
    texts = [chr(c) for c in range(1, UNITS) if not 0xD800 <= c < 0xE000]
    codes = encode_folded(texts)
    assert [t for i, t in enumerate(texts) if text_of(codes, i) != dedup_key(t)] == []


def test_owners_and_holding() -> None:
    codes = encode(["ab", "", "c"])
    assert codes.owners().tolist() == [0, 0, 0, 1, 2, 2]
    table = np.zeros(UNITS, np.bool_)
    table[ord("b")] = table[ord("c")] = True
    assert codes.holding(table).tolist() == [0, 2]


def test_a_gap_inside_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="U\\+0000"):
        encode(["a\0b"])
