"""Thinning keeps the spikes, the median follows the trend, and neither invents a value."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from so8t.report.sparkline import ASCII, BLOCKS, sparkline
from so8t.report.training_series import bucket_medians, ceiling, running_median, thinned, window_of

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200)


def numbered(values: list[float]) -> list[tuple[float, float]]:
    return [(float(i), v) for i, v in enumerate(values)]


@given(VALUES, st.integers(1, 30))
def test_thinning_keeps_ends_order_and_extremes(values: list[float], buckets: int) -> None:
    points = numbered(values)
    found = thinned(points, buckets)
    assert len(found) <= 2 * buckets + 2 and set(found) <= set(points)
    assert (found[0], found[-1]) == (points[0], points[-1]) and [x for x, _ in found] == sorted(x for x, _ in found)
    assert max(y for _, y in found) == max(values) and min(y for _, y in found) == min(values)


@given(VALUES, st.integers(0, 40), st.integers(2, 50))
def test_a_running_median_is_the_median_of_its_window(values: list[float], half: int, places: int) -> None:
    points = numbered(values)
    found = running_median(points, 2 * half + 1, places)
    assert len(found) == min(places, len(values)) and found[-1][0] == points[-1][0]
    for x, y in found:
        i = round(x)
        assert y == statistics.median(values[max(0, i - half) : i + half + 1])


@given(VALUES)
def test_a_median_of_one_changes_nothing(values: list[float]) -> None:
    assert running_median(numbered(values), 1, 1000) == numbered(values)


def test_windows_are_odd_and_grow() -> None:
    assert [window_of(n) for n in (0, 100, 506, 40_000)] == [5, 5, 21, 1601]


def test_an_axis_ends_below_rare_spikes_only() -> None:
    calm = numbered([1.0 + 0.001 * (i % 7) + 3.0 / (1 + i / 50) for i in range(1000)])
    assert ceiling(calm, running_median(calm, 41, 100)) is None
    spiked = [*calm[:500], (500.0, 80.0), *calm[501:]]
    limit = ceiling(spiked, running_median(spiked, 41, 100))
    assert limit is not None and 3.9 < limit < 10
    assert ceiling([], []) is None and ceiling(numbered([2.0] * 9), numbered([2.0] * 9)) is None


@given(VALUES, st.integers(1, 40))
def test_buckets_cover_everything_in_order(values: list[float], buckets: int) -> None:
    found = bucket_medians(values, buckets)
    assert len(found) == min(buckets, len(values)) and min(values) <= min(found) <= max(found) <= max(values)
    assert bucket_medians(sorted(values), buckets) == sorted(bucket_medians(sorted(values), buckets))
    assert bucket_medians([], buckets) == []


@given(VALUES)
def test_a_sparkline_has_a_mark_a_value(values: list[float]) -> None:
    for encoding, marks in (("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), (None, ASCII), ("no-such", ASCII)):
        line = sparkline(values, encoding)
        assert len(line) == len(values) and set(line) <= set(marks)
        order = [marks.index(c) for c in line]
        assert all(order[i] <= order[j] for i, a in enumerate(values) for j, b in enumerate(values) if a <= b)
        if max(values) > min(values):
            assert {marks[0], marks[-1]} <= set(line)


def test_an_empty_sparkline() -> None:
    assert sparkline([], "utf-8") == "" and sparkline([3.0, 3.0], "utf-8") == BLOCKS[0] * 2
