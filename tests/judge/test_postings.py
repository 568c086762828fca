"""Scalar products from the index are those of the vectors, however the documents came in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.judge.postings import FEW, RATIO, Postings, Vector

VECTORS = st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.floats(-4, 4), max_size=6), max_size=3 * FEW)


def product(one: Vector, other: Vector) -> float:
    return sum(weight * other.get(term, 0.0) for term, weight in one.items())


@settings(max_examples=60, deadline=None)
@given(VECTORS, VECTORS, st.dictionaries(st.sampled_from("abcdefghijxyz"), st.floats(-4, 4), max_size=8))
def test_products_are_the_scalar_products(first: list[Vector], later: list[Vector], query: Vector) -> None:
    postings = Postings(first)
    for vector in later:
        postings.add(vector)
    found = postings.products(query)
    assert found.tolist() == pytest.approx([product(query, vector) for vector in [*first, *later]], abs=1e-9)


def test_runs_stay_few() -> None:
    postings = Postings([])
    for number in range(3000):
        postings.add({f"t{number % 50}": 1.0, "all": 0.5})
    lengths = [len(run.owners) for run in postings._runs]
    assert all(longer >= RATIO * shorter for longer, shorter in pairwise(lengths))
    assert len(lengths) <= 6 and postings.products({"all": 2.0}).tolist() == [1.0] * 3000
