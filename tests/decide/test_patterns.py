"""How a regex is found without being tried everywhere: heads, factors, letter case, and the index over all rules."""

from __future__ import annotations

import re
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.patterns import REACH, any_of, compile_pattern, fold
from so8t.decide.rule_index import RuleIndex

LETTERS = "機密極秘社外へ送るabskABSK。\n 12İıſKßΣσςµμﬀ\ud800😀"
SOURCES = [
    "機密", "(?:機密|極秘.)", "[A-C]2", "送る.?", "(?:ab)+", "x?極秘", "秘$", r"(?<!社)外へ?", "s[ik]s", "機.{0,3}送",
    "(?:社|[社外]{1,2})送", "σ|μa", "[機-欟]密", "(?s:機.密)", "(?i)AB", "a{2,3}b?", "(?=密)密社", "[^a]b", ".密",
    r"\s密",
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "heads"),
    [
        ("機密", {"機密"}),
        ("(?:機密|極秘.)", {"機密", "極秘"}),
        ("(?:顧客|患者)(?:名簿|リスト)", {"顧客名簿", "顧客リスト", "患者名簿", "患者リスト"}),
        ("社外秘の設計図面", {"社外秘の設計"}),
        ("PASS", {"pass"}),
        ("[AB]c", {"ac", "bc"}),
        ("x?yz", {"xyz", "yz"}),
        ("a{1,2}b", {"ab", "aab"}),
        ("a{2,9}b", {"aa"}),
        ("名簿|名", {"名"}),
        ("^機密", {"機密"}),
        ("機密(?=を)", {"機密"}),
        ("[ぁ-ん]密", None),
        (".機密", None),
        ("[^a]b", None),
        ("σ", None),
        ("\ud800a", None),
    ],
)
def test_heads_are_how_matches_begin(source: str, heads: set[str] | None) -> None:
    assert compile_pattern(source).heads == heads


@pytest.mark.parametrize(
    ("source", "factors"),
    [
        (r"[【(]\s?(?:極秘|厳秘)\s?[】)]", {"極秘", "厳秘"}),
        (".機密", {"機密"}),
        ("の.{0,4}(?:改竄|捏造)", {"改竄", "捏造"}),
        ("(?:の.{0,4}改竄|を.{0,4}捏造)", {"改竄", "捏造"}),
        ("の(?:改竄)?", {"の"}),
        (r"\d+", None),
    ],
)
def test_factors_are_the_rarest_of_what_every_match_holds(source: str, factors: set[str] | None) -> None:
    assert compile_pattern(source).factors == factors


def test_a_great_many_words_still_have_heads() -> None:
    words = [chr(0x4E00 + i) + chr(0x5E00 + j) for i in range(20) for j in range(30)]
    heads = compile_pattern("|".join(words) + "|機(?:" + "|".join(chr(0x6E00 + i) for i in range(30)) + ")").heads
    assert heads is not None and set(words) <= heads


def test_folding_keeps_every_letter_in_its_place() -> None:
    for code in range(sys.maxunicode + 1):
        assert len(fold(chr(code))) == 1, hex(code)
    assert fold("ΑΣ ΑΣΑ İıſK") == "ας ασα iisk"


def plainly_found(source: str, text: str) -> bool:
    """A regex found from any place, within REACH; the definition that all shortcuts are held to."""
    regex = re.compile(source, re.IGNORECASE)
    return any(regex.match(text, at, at + REACH) for at in range(len(text)))


@given(st.text(alphabet=LETTERS, max_size=40), st.sampled_from(SOURCES))
def test_what_is_found_is_what_plain_search_finds(text: str, source: str) -> None:
    pattern = compile_pattern(source)
    assert pattern.found(text) == plainly_found(source, text)
    if pattern.found(text):
        folded = fold(text)
        assert pattern.heads is None or any(head in folded for head in pattern.heads)
        assert pattern.factors is None or any(factor in folded for factor in pattern.factors)


@given(
    st.text(alphabet=LETTERS, max_size=30),
    st.sampled_from([s for s in SOURCES if "(?i)" not in s]),
    st.integers(0, 2 * REACH),
)
def test_the_same_in_long_texts(text: str, source: str, before: int) -> None:
    pattern = compile_pattern(source)
    if pattern.heads is not None:
        long = "い" * before + text + "い" * (2 * REACH - before)
        assert pattern.found(long) == plainly_found(source, long)


@given(st.text(alphabet=LETTERS, max_size=40), st.lists(st.sampled_from(SOURCES), max_size=4))
def test_any_of_several(text: str, sources: list[str]) -> None:
    patterns = [compile_pattern(s) for s in sources if "(?i)" not in s]
    assert bool(any_of(patterns).search(text)) == any(p.regex.search(text) for p in patterns)


@given(
    st.text(alphabet=LETTERS, max_size=60),
    st.lists(st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3), max_size=5),
)
def test_no_rule_is_left_out_that_could_match(text: str, rules: list[list[str]]) -> None:
    needed = [[compile_pattern(s) for s in sources] for sources in rules]
    places = RuleIndex(needed).places(fold(text))
    for number, patterns in enumerate(needed):
        if all(p.found(text) for p in patterns):
            assert number in places
    assert all(0 <= place < len(text) for found in places.values() for place in found)


def test_places_are_counted_in_letters() -> None:
    index = RuleIndex([[compile_pattern("極秘")], [compile_pattern(".")]])
    assert index.places(fold("İ😀\ud800 極秘と極秘")) == {0: [4, 7], 1: []}


@pytest.mark.parametrize("source", ["機[^。]{0,900}密", "(?:機|密){1,8}送", "機密.*送れ"])
def test_a_regex_takes_linear_time(source: str) -> None:
    pattern = compile_pattern(source)
    began = time.perf_counter()
    for text in ("機" * 20_000, "機密" * 10_000, "密" * 20_000):
        pattern.found(text)
    assert time.perf_counter() - began < 5
