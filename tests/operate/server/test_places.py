"""Nobody holds all places of the server."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.server.errors import Crowded, status_of
from so8t.operate.server.places import Place, enter, give


def test_one_name_has_its_share_and_no_more() -> None:
    taken: Counter[str] = Counter()
    held = [Place(taken, 2) for _ in range(4)]
    held[0].enter("佐藤")
    held[1].enter("佐藤")
    with pytest.raises(Crowded) as raised:
        held[2].enter("佐藤")
    assert status_of(raised.value) == 429
    held[3].enter("鈴木")
    held[0].leave()
    held[2].enter("佐藤")
    for place in held:
        place.leave()
    assert not taken


def test_two_spellings_are_one_name_and_twice_identified_is_once_counted() -> None:
    taken: Counter[str] = Counter()
    place = Place(taken, 1)
    place.enter("Sato")
    place.enter("Ｓａｔｏ")
    assert sum(taken.values()) == 1
    with pytest.raises(Crowded):
        Place(taken, 1).enter("SATO")


def test_without_a_guard_nothing_is_counted() -> None:
    enter({"type": "http"}, "佐藤")
    taken: Counter[str] = Counter()
    scope = {"type": "http"}
    give(scope, Place(taken, 1))
    enter(scope, "佐藤")
    assert taken == {"佐藤": 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "leave"])), max_size=60))
def test_the_count_is_that_of_those_inside(steps: list[tuple[int, str]]) -> None:
    taken: Counter[str] = Counter()
    places, inside = [Place(taken, 2) for _ in range(6)], dict[int, str]()
    for number, what in steps:
        if what == "leave":
            places[number].leave()
            inside.pop(number, None)
            continue
        try:
            places[number].enter(what)
            inside[number] = what
        except Crowded:
            assert Counter(inside.values())[what] == 2
    assert taken == Counter(inside.values())
