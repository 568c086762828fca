"""Facts of many texts are what counting each by hand gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.data.signatures import shingle_hashes
from so8t.build.data.text_facts import Facts, Kind, facts, kind_table
from so8t.decide.codes import encode, encode_folded

SENTENCE = "夜の間に届いた荷物は、朝の八時までに棚へ移します。"


def of(texts: list[str]) -> Facts:
    return facts(encode(texts), shingle_hashes(encode_folded(texts)))


@pytest.mark.parametrize(
    ("characters", "kind"),
    [
        ("あんゟ", Kind.HIRAGANA),
        ("アンー", Kind.KATAKANA),
        ("亜々ヶ﨑", Kind.KANJI),
        ("aZé", Kind.LATIN),
        ("09９", Kind.DIGIT),
        ("。！?", Kind.STOP),
        ("、,", Kind.COMMA),
        ("「）", Kind.BRACKET),
        (" \u3000", Kind.SPACE),
        ("|>■→", Kind.MARK),
        ("ｱ｡", Kind.HALF_KANA),
        ("\ufffd\ue000縺", Kind.BROKEN),
        ("한", Kind.HANGUL),
        ("%", Kind.OTHER),
    ],
)
def test_classes(characters: str, kind: Kind) -> None:
    assert {Kind(kind_table()[ord(c)]) for c in characters} == {kind}


@given(st.lists(st.text(st.sampled_from("あア亜a1。、「 \n|ｱ"), max_size=40), min_size=1, max_size=5))
@settings(max_examples=100)
def test_counts_of_each_alone(texts: list[str]) -> None:
    found = of(texts)
    for i, text in enumerate(texts):
        kinds = [Kind(kind_table()[ord(c)]) for c in text]
        assert [found.counts[i, k] for k in Kind if k] == [kinds.count(k) for k in Kind if k]
        solid = [k for k in kinds if k not in (Kind.SPACE, Kind.NEWLINE)]
        assert found.share(Kind.HIRAGANA)[i] == pytest.approx(kinds.count(Kind.HIRAGANA) / max(1, len(solid)))
    assert found.repeated.tolist() == pytest.approx([of([t]).repeated[0] for t in texts])


def test_repetition() -> None:
    found = of([SENTENCE * 12, SENTENCE, ""])
    assert found.repeated[0] > 0.85 and found.repeated[1] < 0.1 and found.repeated[2] == 0
