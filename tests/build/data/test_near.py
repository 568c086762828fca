"""Clusters are what the exact comparison says, whatever the number of buckets; memory is that of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.data import near
from so8t.build.data.near import Clusters, Likeness, candidate_groups, cluster
from so8t.build.data.signatures import Keys, shingle_hashes, signatures
from so8t.decide.codes import encode_folded

BASE = "取引先に社内の座席表を送ってもよいかどうか、総務の担当として判断の手順を教えてください。返事は明日までに。"
TEXTS = [
    BASE,
    "別の話です。" + "献立を考えてください。材料は冷蔵庫にあります。" * 2,
    BASE.replace("総務", "庶務"),
    BASE.replace(" ", "　"),
    "機体の点検記録を月ごとの一覧表にまとめてください。様式は昨年と同じです。",
]


def like() -> Likeness:
    return Likeness(lambda numbers: [TEXTS[i] for i in numbers])


def keys(texts: list[str]) -> Keys:
    folded = encode_folded(texts)
    return signatures(folded, shingle_hashes(folded))


def groups(texts: list[str], folder: Path, part: int = 2) -> Iterator[np.ndarray]:
    batches = (keys(texts[i : i + part]) for i in range(0, len(texts), part))
    return candidate_groups(batches, len(texts), folder)


@pytest.mark.parametrize("rows", [4, 1 << 21])
def test_the_first_of_a_cluster_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(near, "BUCKET_ROWS", rows)
    found = Clusters(len(TEXTS), tmp_path / "clusters.bin")
    compared = cluster(groups(TEXTS, tmp_path / "buckets"), found, like(), 0.7)
    assert found.roots().tolist() == [0, 1, 0, 0, 4] and 2 <= compared < 100
    assert list((tmp_path / "buckets").iterdir()) == []  # nothing is left lying about


def test_candidates_that_are_not_alike_stay_apart(tmp_path: Path) -> None:
    found = Clusters(len(TEXTS))
    cluster(groups(TEXTS, tmp_path), found, like(), 0.99)
    assert found.roots().tolist() == [0, 1, 2, 0, 4]


def test_a_page_that_everybody_carries_costs_no_square(tmp_path: Path) -> None:
    texts = [BASE] * 400
    found = Clusters(len(texts))
    assert (
        cluster(groups(texts, tmp_path, 50), found, Likeness(lambda numbers: [texts[i] for i in numbers]), 0.8) == 399
    )
    assert not found.roots().any()


@pytest.mark.parametrize("at_once", [1, 3, 7, 2048])
def test_a_large_group_in_slices_is_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(near, "TEXTS_AT_ONCE", at_once)
    texts = [BASE.replace("総務", f"{n}課") for n in range(30)]
    found = Clusters(len(texts))
    cluster(groups(texts, tmp_path), found, Likeness(lambda numbers: [texts[i] for i in numbers]), 0.6)
    assert not found.roots().any()


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
@settings(max_examples=100)
def test_clusters_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    found = Clusters(20)
    components = {i: {i} for i in range(20)}
    for a, b in pairs:
        found.join(a, b)
        merged = components[a] | components[b]
        for i in merged:
            components[i] = merged
    assert found.roots().tolist() == [min(components[i]) for i in range(20)]
    assert all(found.find(i) == min(components[i]) for i in range(20))


def test_no_texts(tmp_path: Path) -> None:
    assert list(candidate_groups(iter(()), 0, tmp_path / "b")) == []
    assert Clusters(0).roots().tolist() == []


def test_groups_are_ascending_and_share_a_key(tmp_path: Path) -> None:
    every = keys(TEXTS)
    for group in groups(TEXTS, tmp_path):
        assert all(a < b for a, b in pairwise(group.tolist()))
        assert (every[group[0]] == every[group[1]]).any()
