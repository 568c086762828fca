"""A week of optimizer steps as a few hundred points that keep what matters: the spikes, the trend, the borders."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from so8t.report.training_log import Point

SHARE = 25  # a median looks at one part in so many of the run


def thinned(points: Sequence[Point], buckets: int) -> list[Point]:
    """Lowest and highest of each of `buckets` equal runs of points, in order: no spike is averaged away."""
    if len(points) <= 2 * buckets:
        return list(points)
    out: list[Point] = []
    for run in _runs(points, buckets):
        low, high = min(run, key=lambda p: p[1]), max(run, key=lambda p: p[1])
        out += sorted({low, high})
    return [points[0], *out, points[-1]]


def _runs(points: Sequence[Point], buckets: int) -> list[Sequence[Point]]:
    edges = [round(i * len(points) / buckets) for i in range(buckets + 1)]
    return [points[a:b] for a, b in pairwise(edges) if b > a]


def window_of(count: int) -> int:
    """Steps that one median looks at: odd, a twenty-fifth of the run, 5 at least."""
    return max(5, count // SHARE) | 1


def running_median(points: Sequence[Point], window: int, places: int) -> list[Point]:
    """Median of the `window` values around each of at most `places` points; at the ends, of those that there are."""
    count, half = len(points), window // 2
    chosen = range(count) if count <= places else [round(i * (count - 1) / (places - 1)) for i in range(places)]
    out = []
    for i in chosen:
        around = points[max(0, i - half) : i + half + 1]
        out.append((points[i][0], statistics.median(y for _, y in around)))
    return out


def bucket_medians(values: Sequence[float], buckets: int) -> list[float]:
    """Median of each of at most `buckets` equal runs, oldest first: a curve for one line of a terminal."""
    if not values:
        return []
    runs = _runs([(float(i), v) for i, v in enumerate(values)], min(buckets, len(values)))
    return [statistics.median(y for _, y in run) for run in runs]


def ceiling(points: Sequence[Point], medians: Sequence[Point]) -> float | None:
    """Where an axis should end when a few spikes would flatten all the rest; None where they do not."""
    if not points:
        return None
    values = sorted(y for _, y in points)
    usual = max(values[round(0.995 * (len(values) - 1))], max(y for _, y in medians))
    limit = usual + 0.5 * (usual - values[0])
    return limit if values[-1] > limit + 0.5 * (usual - values[0]) else None
