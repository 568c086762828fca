"""Every substring is found, nothing else is, and no query is an expression of SQLite's."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.search.grams import MAXIMUM_TERM, MAXIMUM_TERMS, indexed, matched, pattern, phrase, terms, words

ALPHABET = "会議録出張ァカナabAB12 \n。、-_*\"'()^:+{}🙂㌔ガ"


def finds(text: str, term: str) -> bool:
    db = apsw.Connection(":memory:")
    db.execute("CREATE VIRTUAL TABLE grams USING fts5(pairs, content='', contentless_delete=1, tokenize='ascii')")
    db.execute("INSERT INTO grams(rowid, pairs) VALUES(1, ?)", (indexed(text),))
    return bool(list(db.execute("SELECT rowid FROM grams WHERE grams MATCH ?", (phrase(term),))))


@given(st.text(ALPHABET, max_size=40), st.data())
def test_every_substring_is_found(text: str, data: st.DataObject) -> None:
    plain = matched(text)
    if plain:
        start = data.draw(st.integers(0, len(plain) - 1))
        assert finds(text, plain[start : data.draw(st.integers(start + 1, len(plain)))])


@given(st.text(ALPHABET, min_size=1, max_size=30), st.text(ALPHABET, min_size=1, max_size=5))
def test_what_is_found_is_there(text: str, term: str) -> None:
    if matched(term):
        assert finds(text, term) is (matched(term) in matched(text))


def test_spelling_width_case_and_line_ends_do_not_matter() -> None:
    assert finds("出張\n旅費の精算", "張旅費") and finds("ﾀﾞｲﾔのＰＤＦ", "ダイヤのpdf") and finds("会\u200b議", "会議")
    assert not finds("出張の旅費", "出張旅費")


def test_one_character() -> None:
    assert finds("議", "議") and finds("会議録", "録") and finds("会議録", "会") and not finds("会議録", "出")


@pytest.mark.parametrize(
    "hostile", ['"', '" OR "a', "NEAR(a b)", "a* OR b", "{x}:y", "^a", "grams", "-a", "a AND", "*"]
)
def test_a_query_is_text_and_no_expression(hostile: str) -> None:
    assert finds(f"前{hostile}後", hostile) and not finds("何もない", hostile)


def test_terms_and_words_of_a_query() -> None:
    assert terms('出張 "会議 の記録" 「旅費 精算」 出張') == ["会議の記録", "旅費精算", "出張"]
    assert terms("  ") == [] and len(terms(" ".join(map(str, range(99))))) == MAXIMUM_TERMS
    assert words("出張の旅費は、いつまでに精算すればいいですか?PDFで") == ["出張", "旅費", "精算", "pdf"]
    assert len(phrase("あ" * 9999)) < 3 * MAXIMUM_TERM + 3


def test_the_pattern_finds_what_the_phrase_found() -> None:
    match = pattern(["会議録"]).search("きのうの会\n 議録です")
    assert match and match.group() == "会\n 議録"
    assert pattern(["a.c"]).search("abc") is None
