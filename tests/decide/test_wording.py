"""The wording model: what it counts, how it scores, and what it refuses to load."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import BundleBroken
from so8t.core.text import dedup_key, ngrams
from so8t.decide.views import clearest
from so8t.decide.wording import BUCKETS, LONGEST, ORDER, STEPS_ABOVE, WordingModel, counted, features

ONES = np.ones(BUCKETS, np.float32)


def model(seed: int = 0) -> WordingModel:
    generator = np.random.default_rng(seed)
    weight = generator.normal(0, 1, (3, BUCKETS + STEPS_ABOVE)).astype(np.float16).astype(np.float32)
    return WordingModel(weight, np.array([0.5, 0.0, -0.5], np.float32), ONES)


@given(st.lists(st.text("あいう漢字ab🙂 ", max_size=30), min_size=1, max_size=4))
def test_every_n_gram_of_every_text_is_counted_once(texts: list[str]) -> None:
    """As many different n-grams and as many counts as the slow way finds; hashing loses at most a few to collisions."""
    rows, _, counts = counted(texts)
    for number, text in enumerate(texts):
        key = dedup_key(clearest(text).text)
        units = key.encode("utf-16-le")
        whole = ["".join(f"{u:04x}" for u in np.frombuffer(units, "<u2"))]
        grams = Counter(g for n in range(1, ORDER + 1) for g in _unit_grams(whole[0], n))
        assert counts[rows == number].sum() == sum(grams.values())
        assert len(grams) - 2 <= (rows == number).sum() <= len(grams)


def _unit_grams(hexadecimal: str, n: int) -> list[str]:
    """n-grams of code units written as four hexadecimal digits each."""
    return [g for i, g in enumerate(ngrams(hexadecimal, 4 * n)) if i % 4 == 0]


def test_the_same_n_gram_has_the_same_bucket_wherever_it_stands() -> None:
    _, first, _ = counted(["会議"])
    _, second, _ = counted(["週次の会議の案"])
    assert set(first) <= set(second)
    _, other, _ = counted(["議会"])
    assert len(set(first) & set(other)) == 2  # the two characters, not the pair


def test_texts_do_not_run_into_one_another() -> None:
    rows, buckets, _ = counted(["会", "議"])
    assert rows.tolist() == [0, 1] and len(set(buckets)) == 2


@given(st.text(min_size=0, max_size=50), st.integers(-3, 5))
def test_a_text_counts_with_length_one_and_one_step_of_its_levels(text: str, gap: int) -> None:
    found = features([text], [gap], ONES)
    grams = found.columns < BUCKETS
    assert np.square(found.values[grams]).sum() == pytest.approx(1.0 if grams.any() else 0.0, abs=1e-5)
    assert found.columns[~grams].tolist() == [BUCKETS + min(max(gap, 0), 2)] and found.values[~grams].tolist() == [1.0]


def test_what_was_never_seen_counts_for_nothing() -> None:
    found = features(["見たことのない語"], [0], np.zeros(BUCKETS, np.float32))
    assert found.columns.tolist() == [BUCKETS]
    blank = WordingModel(model().weight, model().bias, np.zeros(BUCKETS, np.float32))
    assert blank.scores("何であれ", 1) == pytest.approx(model().weight[:, BUCKETS + 1] + model().bias)


def test_disguises_and_spelling_change_nothing() -> None:
    plain = model().scores("USBに図面を写して", 0)
    for disguised in ("ＵＳＢに図面を写して", "USBに図\u200b面を写して", "usb に 図面を写して"):
        assert model().scores(disguised, 0) == pytest.approx(plain)


def test_the_end_of_a_very_long_text_is_not_read() -> None:
    head = "".join(chr(0x4E00 + n) for n in range(LONGEST))
    assert model().scores(head + "あ" * 50_000, 0) == pytest.approx(model().scores(head, 0))


def test_it_goes_through_bytes() -> None:
    again = WordingModel.from_bytes(model().to_bytes())
    assert again.scores("議事録をまとめて", 1) == pytest.approx(model().scores("議事録をまとめて", 1), abs=1e-3)


def _bytes(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [
    b"", b"PK\x03\x04", b"not a zip", model().to_bytes()[:-100],
    _bytes(weight=np.zeros((3, 5), np.float16), bias=np.zeros(3), rarity=ONES),
    _bytes(weight=np.zeros((3, BUCKETS + STEPS_ABOVE), np.float16), bias=np.zeros(2), rarity=ONES),
    _bytes(weight=np.zeros((3, BUCKETS + STEPS_ABOVE), np.float16), bias=np.array([0, np.nan, 0]), rarity=ONES),
    _bytes(weight=np.zeros((3, BUCKETS + STEPS_ABOVE), np.float16), bias=np.zeros(3)),
    _bytes(weight=np.array([object()]), bias=np.zeros(3), rarity=ONES),
])  # fmt: skip
def test_what_is_no_wording_model_is_refused(data: bytes) -> None:
    with pytest.raises(BundleBroken, match="wording model"):
        WordingModel.from_bytes(data)
