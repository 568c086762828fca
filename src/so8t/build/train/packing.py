"""Filling rows of a fixed length with several samples: best-fit decreasing bin packing (SPEC M7)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Sample numbers of every row; no row is longer than `limit` tokens, unless a single sample already is.

    The longest samples are placed first, each into the fullest row that still has room; the same for the same lengths.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        place = bisect_left(room, (lengths[number], -1))
        if place == len(room):
            rows.append([number])
            left, row = limit - lengths[number], len(rows) - 1
        else:
            left, row = room.pop(place)
            rows[row].append(number)
            left -= lengths[number]
        if left > 0:
            insort(room, (left, row))
    return rows
