"""What people write, as it stands on a page: escaped, nothing invisible, no turned direction."""

from __future__ import annotations

import html
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.console.texts import excerpt, named, plain, said

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(BIDI + "<>&'\"\x00\x1b"))))
def test_no_markup_and_nothing_unseen_is_left(text: str) -> None:
    for made in (str(said(text)), str(named(text))):
        inner = re.sub(r'</?(?:bdi|span)(?: class="(?:said|unseen)")?>', "", made)
        assert "<" not in inner and ">" not in inner and '"' not in inner
        assert not set(made) & set(BIDI + "\x00\x1b\u200b\ufeff")
    assert not set(plain(text)) & set(BIDI + "\x00\u2028")


@given(st.text(alphabet="あいう漢字abc 。\n<&"))
def test_an_honest_text_stays_as_it_is(text: str) -> None:
    made = str(said(text))
    assert html.unescape(made.removeprefix('<bdi class="said">').removesuffix("</bdi>")) == text


def test_names_and_emoji_keep_their_selectors() -> None:
    assert "U+" not in said("葛\U000e0100城 ❤\ufe0f 👨\u200d👩")
    assert said("a\u202eb") == '<bdi class="said">a<span class="unseen">U+202E</span>b</bdi>'
    assert plain("a\u202eb") == "a[U+202E]b"


@given(st.text(), st.integers(2, 80))
def test_an_excerpt_is_one_short_line(text: str, longest: int) -> None:
    made = excerpt(text, longest)
    assert len(made) <= longest and "\n" not in made


def test_a_text_of_nothing_but_unseen_characters_is_shown_at_once() -> None:
    begin = time.perf_counter()
    assert said("\u202e" * 100_000).count("U+202E") == 100_000
    assert time.perf_counter() - begin < 5
