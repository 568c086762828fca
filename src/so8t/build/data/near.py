"""Groups of texts that may be duplicates, and clusters of those that are, in memory that does not grow with the texts.

Signatures are dealt into bucket files by key, so that equal keys meet in one bucket; a bucket is sorted in memory.
Who shares a key is a candidate; whether two candidates are alike is decided by their texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so8t.build.data.signatures import COLUMNS, Keys, jaccard, shingle_sets
from so8t.core.files import fresh_folder
from so8t.decide.codes import encode_folded

BUCKET_ROWS = 1 << 21  # of 16 bytes: 32 MiB, and as much again to sort them
REPRESENTATIVES = 4  # texts of a group that its others are compared with
TEXTS_AT_ONCE = 2048
_ENTRY = np.dtype([("key", "<u8"), ("text", "<i8")])

Texts = Callable[[Sequence[int]], Sequence[str]]


def candidate_groups(signatures: Iterable[Keys], total: int, folder: Path) -> Iterator[NDArray[np.int64]]:
    """Numbers, ascending, of texts that agree in some column. `signatures` in the order of the numbers.

    `folder` is emptied and used for bucket files of 16 bytes a text and column; they are removed as they are read.
    """
    buckets = _deal(signatures, max(1, math.ceil(total * COLUMNS / BUCKET_ROWS)), fresh_folder(folder))
    for bucket in buckets:
        entries = np.fromfile(bucket, dtype=_ENTRY)
        bucket.unlink()
        order = np.argsort(entries["key"], kind="stable")
        keys, texts = entries["key"][order], entries["text"][order]
        edges = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]]))
        for i in np.flatnonzero(np.diff(edges) > 1):
            yield texts[edges[i] : edges[i + 1]]


def _deal(signatures: Iterable[Keys], count: int, folder: Path) -> list[Path]:
    paths = [folder / f"bucket-{i:05}.bin" for i in range(count)]
    first = 0
    for keys in signatures:
        entries = np.empty(keys.size, _ENTRY)
        entries["key"] = keys.ravel()
        entries["text"] = np.repeat(np.arange(first, first + len(keys)), keys.shape[1])
        entries = entries[entries["key"] != 0]
        first += len(keys)
        bucket = (entries["key"] >> np.uint64(17)) % np.uint64(count)
        order = np.argsort(bucket, kind="stable")
        cuts = np.searchsorted(bucket[order], np.arange(count + 1))
        for i in np.flatnonzero(np.diff(cuts)):
            with paths[i].open("ab") as f:
                entries[order[cuts[i] : cuts[i + 1]]].tofile(f)
    return [path for path in paths if path.exists()]


class Clusters:
    """Texts joined by likeness; the lowest number of a cluster stands for it. 8 bytes a text, on disk if asked."""

    def __init__(self, total: int, file: Path | None = None) -> None:
        self._parent: NDArray[np.int64]
        if file is None or total == 0:
            self._parent = np.arange(total, dtype=np.int64)
        else:
            self._parent = np.memmap(file, np.int64, "w+", shape=(total,)).view(np.ndarray)
            self._parent[:] = np.arange(total)

    def find(self, text: int) -> int:
        root = text
        while (up := int(self._parent[root])) != root:
            root = up
        while (up := int(self._parent[text])) != root:
            self._parent[text], text = root, up
        return root

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        self._parent[b] = a

    def roots(self) -> NDArray[np.int64]:
        """[texts] the first of each text's cluster."""
        roots = np.array(self._parent)
        while not np.array_equal(roots, higher := roots[roots]):
            roots = higher
        return roots


class Likeness:
    """Jaccard index of the character 5-grams of two texts by number: exact but for collisions of 64-bit hashes."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._sets: dict[int, Keys] = {}

    def prepare(self, numbers: Iterable[int]) -> None:
        """Read these texts at once; all others are forgotten."""
        wanted = sorted(set(numbers))
        known = {n: self._sets[n] for n in wanted if n in self._sets}
        missing = [n for n in wanted if n not in known]
        self._sets = known | dict(zip(missing, shingle_sets(encode_folded(self._texts(missing))), strict=True))

    def __call__(self, a: int, b: int) -> float:
        return jaccard(self._sets[a], self._sets[b])


def cluster(groups: Iterable[NDArray[np.int64]], clusters: Clusters, like: Likeness, threshold: float) -> int:
    """Join what is alike; returns how many comparisons that took.

    In a group every text is compared with at most REPRESENTATIVES others, so that a page which a million sites carry
    costs a million comparisons and not their square.
    """
    compared = 0
    for some in _together(groups):
        open_ = [g for g in (_unjoined(group, clusters) for group in some) if len(g) > 1]
        like.prepare(n for group in open_ for n in group)
        compared += sum(_join(group, clusters, like, threshold) for group in open_)
    return compared


def _together(groups: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    """Groups of TEXTS_AT_ONCE texts or so; a larger one in overlapping slices that share its first texts."""
    some: list[NDArray[np.int64]] = []
    size = 0
    for group in groups:
        head = group[:REPRESENTATIVES]
        for start in range(REPRESENTATIVES, max(len(group), REPRESENTATIVES + 1), TEXTS_AT_ONCE):
            some.append(np.concatenate([head, group[start : start + TEXTS_AT_ONCE]]))
            size += len(some[-1])
            if size >= TEXTS_AT_ONCE:
                yield some
                some, size = [], 0
    if some:
        yield some


def _unjoined(group: NDArray[np.int64], clusters: Clusters) -> list[int]:
    """One text of every cluster that the group has."""
    return list({clusters.find(text): text for text in reversed(group.tolist())}.values())[::-1]


def _join(group: list[int], clusters: Clusters, like: Likeness, threshold: float) -> int:
    compared = 0
    representatives: list[int] = []
    for text in group:
        root = clusters.find(text)
        for other in representatives:
            if clusters.find(other) == root:
                break
            compared += 1
            if like(other, text) >= threshold:
                clusters.join(other, text)
                break
        else:
            if len(representatives) < REPRESENTATIVES:
                representatives.append(text)
    return compared
