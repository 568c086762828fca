"""The domain model: plain arrays that come back the same, and nothing else is taken for one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.core.errors import BundleBroken
from so8t.core.types import Domain
from so8t.decide.codes import encode_folded
from so8t.decide.domain import BUCKETS, DOMAINS, DomainModel
from so8t.decide.linear import LONGEST, grams


def model(**changes: Any) -> DomainModel:
    generator = np.random.default_rng(5)
    weight = generator.normal(0, 5, (len(DOMAINS), BUCKETS)).astype(np.float16).astype(np.float32)
    values = {
        "weight": weight,
        "bias": np.zeros(len(DOMAINS), np.float32),
        "temperature": 1.5,
        "minimum_confidence": 0.25,
    }
    return DomainModel(**(values | changes))


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_probabilities_of_any_text(text: str) -> None:
    found = model().probabilities(text)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5) and list(found) == list(Domain)


def test_width_and_case_make_no_difference() -> None:
    assert model().classify("ＡＢＣの点検") == model().classify("abc の点検")


def test_many_at_once_are_each_alone() -> None:
    texts = ["離陸前の点検", "", "融資の審査" * 300]
    many = model().classify_many(grams(encode_folded(texts), LONGEST))
    alone = [model().classify(text) for text in texts]
    assert [d for d, _ in many] == [d for d, _ in alone]
    assert [c for _, c in many] == pytest.approx([c for _, c in alone], abs=1e-4)


def test_round_trip() -> None:
    made = model()
    read = DomainModel.from_bytes(made.to_bytes())
    assert (read.weight == made.weight).all() and read.temperature == 1.5
    for text in ("離陸前の点検", "融資の審査", ""):
        assert read.classify(text) == made.classify(text)


def test_below_the_least_confidence_it_is_general() -> None:
    flat = model(weight=np.zeros((8, BUCKETS), np.float32), bias=np.array([0.1] + [0.0] * 7, np.float32))
    domain, confidence = flat.classify("何か")
    assert domain is Domain.GENERAL and confidence == pytest.approx(flat.probabilities("何か")[Domain.GENERAL])
    sure = model(weight=flat.weight, bias=np.array([9.0] + [0.0] * 7, np.float32))
    assert sure.classify("何か")[0] is DOMAINS[0] and sure.classify("何か")[1] > 0.9


def test_a_higher_temperature_is_less_sure() -> None:
    assert model(temperature=9.0).classify("離陸")[1] < model(temperature=0.5).classify("離陸")[1]


GOOD = {
    "weight": np.zeros((8, BUCKETS), np.float16),
    "bias": np.zeros(8, np.float32),
    "calibration": np.array([1.0, 0.2]),
}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 cut",
        npz(**GOOD)[:-50],
        npz(weight=GOOD["weight"]),
        npz(**GOOD | {"weight": np.zeros((7, BUCKETS))}),
        npz(**GOOD | {"bias": np.zeros(3)}),
        npz(**GOOD | {"calibration": np.array([0.0, 0.2])}),
        npz(**GOOD | {"calibration": np.array([1.0])}),
        npz(**GOOD | {"calibration": np.array([np.nan, 0.2])}),
        npz(**GOOD | {"weight": np.array([{"a": 1}], dtype=object)}),
        npz(**GOOD | {"weight": np.array(["x"])}),
    ],
)
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(BundleBroken) as caught:
        DomainModel.from_bytes(data)
    assert caught.value.exit_code == 8


def test_a_pickle_is_never_run(tmp_path: Any) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "boom"), "w"))

    with pytest.raises(BundleBroken):
        DomainModel.from_bytes(npz(**GOOD | {"bias": np.array([Bomb()], dtype=object)}))
    assert not (tmp_path / "boom").exists()
