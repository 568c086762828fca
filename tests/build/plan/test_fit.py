"""Which profile for which card."""

from __future__ import annotations

import dataclasses

import pytest

from so8t.build.plan.fit import CARDS, CONTEXT, Fit, choose, fit, needed, shipped
from so8t.build.plan.memory import GIB
from so8t.core.config import load_config


def test_every_shipped_profile_fits_its_card_and_no_smaller_one() -> None:
    found = shipped()
    assert [f.profile for f in found] == [f"phi4-mini-{n}gb" for n in CARDS]
    for one, card, smaller in zip(found, CARDS, (0, *CARDS), strict=False):
        assert one.on(card), one
        assert not one.on(smaller), one


@pytest.mark.parametrize("card", CARDS)
def test_the_profile_named_after_a_card_is_chosen_for_it(card: int) -> None:
    found = choose(card, shipped())
    assert found is not None and found.profile == f"phi4-mini-{card}gb"


def test_between_and_below() -> None:
    fits = [Fit("a", 10.0 * GIB), Fit("b", 20.0 * GIB)]
    assert choose(16, fits) == fits[0] and choose(20, fits) == fits[1] and choose(9.9, fits) is None


def test_the_reserve_is_never_less_than_a_context() -> None:
    assert needed(0.0) == CONTEXT and needed(10.0 * GIB) > 11 * GIB


def test_shipped_profiles_learn_from_the_same_number_of_samples_a_step() -> None:
    trains = [load_config(f.profile).train for f in shipped()]
    assert {t.batch_size * t.accumulation for t in trains} == {16}  # plan 4.3
    assert [t.maximum_tokens for t in trains] == [1024, 2048, 2048, 2048]


def test_a_longer_row_needs_more() -> None:
    config = load_config("phi4-mini-12gb")
    longer = dataclasses.replace(config, train=dataclasses.replace(config.train, maximum_tokens=2048))
    assert fit(longer).needed > fit(config).needed
