"""What may be called a pair: one setting and the seed, nothing else; what differs is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import NotComparable
from so8t.core.run import Manifest
from so8t.prove.ablation.pairs import Pair, Trained, differing, flat, pair, settings_of

BASE: dict[str, Any] = {
    "train.seed": 8, "train.pet.enabled": True, "train.epochs": 2.0, "input.validate": "d", "input.base": "b",
    "code": "c", "device": "cpu", "adjustments": [],
}  # fmt: skip


def run(name: str, **changes: Any) -> Trained:
    return Trained(name, BASE | {k.replace("__", "."): v for k, v in changes.items()})


def grid(seeds: int = 3) -> list[Trained]:
    return [
        run(f"{on}-{seed}", train__seed=seed, train__pet__enabled=on, input__base=f"base of {seed}")
        for seed in range(seeds)
        for on in (False, True)
    ]


def test_pairs_by_seed() -> None:
    found = pair(grid())
    assert (found.factor, found.control) == ("train.pet.enabled", "false")
    assert found.pairs == {"true": tuple(Pair(s, f"False-{s}", f"True-{s}") for s in range(3))}
    assert found.alone == ()
    assert pair(grid(), "train.pet.enabled") == found


@given(st.permutations(grid()))
def test_the_first_one_is_the_control_in_whatever_order(trained: list[Trained]) -> None:
    found = pair(trained)
    control = "true" if trained[0].settings["train.pet.enabled"] else "false"
    assert found.control == control and [p.seed for p in found.pairs[{"true": "false"}.get(control, "true")]] == [
        0,
        1,
        2,
    ]


def test_several_values_of_one_setting() -> None:
    trained = [run(f"{v}{s}", train__seed=s, train__epochs=v) for s in (1, 2) for v in (1.0, 2.0, 3.0)]
    found = pair(trained)
    assert found.control == "1.0" and list(found.pairs) == ["2.0", "3.0"]


def test_a_seed_without_a_partner_is_named() -> None:
    assert pair([*grid(2), run("late", train__seed=9)]).alone == ("late",)


@pytest.mark.parametrize("key", ["input.validate", "code", "device", "train.epochs", "adjustments"])
def test_anything_else_that_differs_is_refused_and_shown(key: str) -> None:
    trained = [run("a", train__pet__enabled=False), Trained("b", BASE | {key: ["other"]})]
    with pytest.raises(NotComparable) as caught:
        pair(trained)
    assert f"{key}: " in caught.value.detail and "train.pet.enabled: false | true" in caught.value.detail


def test_data_alone_is_no_idea_of_the_plan_but_is_shown() -> None:
    with pytest.raises(NotComparable) as caught:
        pair([run("a"), run("b", input__validate="e", input__base="f")], "train.pet.enabled")
    assert "train.pet.enabled: =" in caught.value.detail and "input.validate" in caught.value.detail


def test_another_base_in_one_pair() -> None:
    with pytest.raises(NotComparable) as caught:
        pair([run("a", train__pet__enabled=False), run("b", input__base="other")])
    assert "input.base" in caught.value.detail and caught.value.where == "a, b"


def test_nothing_differs_or_the_same_twice() -> None:
    with pytest.raises(NotComparable):
        pair([run("a"), run("b", train__seed=9)])
    with pytest.raises(NotComparable) as caught:
        pair([*grid(1), run("again", train__seed=0, input__base="base of 0")])
    assert caught.value.where == "again"


def test_no_seed_trained_both_ways() -> None:
    with pytest.raises(NotComparable) as caught:
        pair([run("a", train__pet__enabled=False, train__seed=1), run("b", train__seed=2)])
    assert "train.seed: 1 | 2" in caught.value.detail


def test_another_setting_than_the_one_meant() -> None:
    with pytest.raises(NotComparable) as caught:
        pair([run("a"), run("b", train__epochs=3.0)], "train.pet.enabled")
    assert "train.epochs: 2.0 | 3.0" in caught.value.detail


def test_long_and_many_differences_are_cut() -> None:
    trained = [Trained(n, {"train.seed": 1} | {f"k{i:02}": n * 90 for i in range(30)}) for n in "ab"]
    with pytest.raises(NotComparable) as caught:
        pair(trained)
    assert "+18" in caught.value.detail and "…" in caught.value.detail and len(caught.value.detail) < 2000


def test_settings_of_a_manifest() -> None:
    manifest = Manifest(
        "train", "done", {"train.pet": {"enabled": True, "lambdas": [1, 2]}, "train.seed": 8}, {"base": "x"}, "c",
        adjustments=["said"], facts={"device": "cuda", "seconds": 3},
    )  # fmt: skip
    assert settings_of(manifest) == {
        "train.pet.enabled": True, "train.pet.lambdas": [1, 2], "train.seed": 8, "input.base": "x", "code": "c",
        "device": "cuda", "adjustments": ["said"],
    }  # fmt: skip
    assert flat({}) == {} and differing([]) == {}
