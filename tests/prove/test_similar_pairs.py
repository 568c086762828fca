"""The pairs found are exactly those of a full comparison, and the groups those of a union-find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.text import dedup_key, ngrams
from so8t.prove import similar_pairs as module
from so8t.prove.similar_pairs import LONGEST, Pairs, connected_groups, grams, similar_pairs

WORDS = ("来週の", "会議の", "議事録を", "三行に", "まとめて", "ください。", "予算の", "資料を", "送って", "A社", "①")
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map("".join), max_size=14)


def jaccard(a: str, b: str) -> float:
    one, other = ({t} if len(t) < 3 else set(ngrams(t, 3)) for t in (dedup_key(a), dedup_key(b)))
    return len(one & other) / len(one | other)


@given(texts, st.sampled_from([0.1, 0.25, 0.4, 0.5, 2 / 3, 0.9, 1.0]))
def test_as_a_full_comparison(rows: list[str], least: float) -> None:
    found = similar_pairs(rows, least)
    got = {(i, j): s for i, j, s in zip(found.left.tolist(), found.right.tolist(), found.likeness, strict=True)}
    every = {(i, j): jaccard(rows[i], rows[j]) for j in range(len(rows)) for i in range(j)}
    want = {pair: s for pair, s in every.items() if s >= least - 1e-12}
    assert got.keys() == want.keys() and found.capped == 0
    assert all(got[pair] == pytest.approx(want[pair]) for pair in want)


@given(st.text(max_size=40), st.text(max_size=40))
def test_grams_tell_texts_apart(a: str, b: str) -> None:
    one, other = dedup_key(a), dedup_key(b)
    same = ({one} if len(one) < 3 else set(ngrams(one, 3))) == ({other} if len(other) < 3 else set(ngrams(other, 3)))
    if "\x00" not in one + other and "\ud800" not in one + other:
        assert (grams(a).tolist() == grams(b).tolist()) == same


def test_spelling_and_disguise_do_not_matter() -> None:
    found = similar_pairs(["ＡＢＣ の会議を開く", "abcの会\u200b議を開く", "まったく別のこと"], 1.0)
    assert list(zip(found.left, found.right, strict=True)) == [(0, 1)]


def test_half_a_surrogate_is_a_text_like_any_other() -> None:
    assert len(similar_pairs(["\ud800会議を開く", "\ud800会議を開く"], 1.0)) == 1


@pytest.mark.parametrize("rows", [[], ["一つ"], ["", ""]])
def test_few_texts(rows: list[str]) -> None:
    assert len(similar_pairs(rows, 0.4)) == (1 if len(rows) == 2 else 0)


def test_a_long_text_is_cut() -> None:
    assert len(grams("".join(map(chr, range(0x4E00, 0x4E00 + 2 * LONGEST))))) == LONGEST - 2


def test_limits_hold_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBOURS", 3)
    monkeypatch.setattr(module, "CANDIDATES", 8)
    rows = [f"会議室の予約を取り消してください{n}" for n in range(60)]
    found = similar_pairs(rows, 0.4)
    assert found.capped > 40 and np.bincount(found.right, minlength=60).max() <= 60
    assert 3 * 40 < len(found) <= 3 * 60  # at most three for each text, however many are alike


def test_progress_counts_every_text() -> None:
    count: list[int] = []
    similar_pairs(["一つ", "二つ", "三つ"], 0.4, lambda: count.append(1))
    assert len(count) == 3


@given(st.integers(1, 12), st.data())
def test_groups_as_by_union_find(n: int, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20))
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for a, b in edges:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    left, right = (np.array([e[k] for e in edges], dtype=np.int64) for k in (0, 1))
    assert connected_groups(n, Pairs(left, right, np.ones(len(edges)))).tolist() == [root(i) for i in range(n)]


@pytest.mark.slow
def test_twenty_thousand_texts_in_bounded_memory() -> None:
    import tracemalloc

    generator = np.random.default_rng(1)
    rows = ["".join(generator.choice(WORDS, 12)) + str(n) for n in range(20_000)]
    tracemalloc.start()
    found = similar_pairs(rows, 0.4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) and peak < 400 << 20  # all pairs would be 200 million
