"""Bins: nothing lost, nothing too long, few of them, the same every time."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from so8t.build.train.packing import pack


@given(lengths=st.lists(st.integers(1, 60), max_size=300), limit=st.integers(1, 70))
def test_every_sample_once_and_no_row_too_long(lengths: list[int], limit: int) -> None:
    rows = pack(lengths, limit)
    assert sorted(n for row in rows for n in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(lengths[n] for n in row) <= limit or len(row) == 1
    assert rows == pack(lengths, limit)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=300))
def test_close_to_the_fewest_rows(lengths: list[int]) -> None:
    """Best-fit decreasing needs at most 11/9 of the optimum and a little (Johnson 1974)."""
    fewest = math.ceil(sum(lengths) / 50)
    whole = sum(2 * n > 50 for n in lengths)  # no two of these share a row
    assert len(pack(lengths, 50)) <= 11 / 9 * max(fewest, whole) + 4


def test_full_rows_are_found() -> None:
    assert pack([5, 5, 3, 2, 7, 8], 10) == [[5, 3], [4, 2], [0, 1]]
