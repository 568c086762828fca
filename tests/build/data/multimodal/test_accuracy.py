"""Errors are counted right, and what cannot be read does not decide."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.multimodal.accuracy import accuracy, character_error_rate, legible, passage_error_rate
from so8t.build.data.multimodal.pages import DOMAINS, group
from so8t.core.types import Levels
from so8t.documents.ocr import Reading

LEVELS = Levels()
SHORT = st.text("あいう", max_size=9)


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(row[j + 1] + 1, new[j] + 1, row[j] + (x != y)))
        row = new
    return row[-1]


@given(st.text("あいう", min_size=1, max_size=12), st.text("あいう", max_size=12))
def test_character_error_rate_is_the_edit_distance(wanted: str, found: str) -> None:
    assert character_error_rate(wanted, found) == pytest.approx(slow_distance(wanted, found) / len(wanted))


@given(st.text("あいう", min_size=1, max_size=6), SHORT)
def test_a_passage_is_the_nearest_piece(wanted: str, found: str) -> None:
    pieces = [found[i:j] for i in range(len(found) + 1) for j in range(i, len(found) + 1)]
    nearest = min(slow_distance(wanted, piece) for piece in pieces)
    assert passage_error_rate(wanted, found) == pytest.approx(nearest / len(wanted))


def test_width_and_spaces_are_no_errors() -> None:
    assert character_error_rate("区分：ＡＢ 12", "区分:AB\n１２") == 0
    assert character_error_rate("", "") == 0 and character_error_rate("極秘", "") == 1


def test_what_is_legible() -> None:
    page = next(r.page for r in group(DOMAINS[2], 2, 8, LEVELS, False) if r.page.note)
    text = "\n".join(page.lines)
    assert legible(page, Reading(text, 0.9, "fake"), LEVELS)
    assert not legible(page, Reading(text.replace(page.stamp, "区分 ?"), 0.9, "fake"), LEVELS)
    assert not legible(page, Reading(text + "\n極秘", 0.9, "fake"), LEVELS)
    almost = text.replace(page.note, page.note[:-1] + "口")
    assert legible(page, Reading(almost, 0.9, "fake"), LEVELS)
    half = text.replace(page.note, page.note[: len(page.note) // 2])
    assert not legible(page, Reading(half, 0.9, "fake"), LEVELS)


def test_figures() -> None:
    requests = group(DOMAINS[0], 0, 8, LEVELS, False)
    first, second, third = (r.page for r in requests)
    third = dataclasses.replace(third, vertical=True, noise="heavy")
    readings = {
        first.id: Reading("\n".join(first.lines), 1.0, "fake"),
        second.id: Reading("", 0.0, "fake"),
        third.id: Reading("\n".join(third.lines), 0.5, "fake"),
    }
    facts = accuracy([first, second, third], readings, requests[:1], LEVELS)
    assert facts["character_error_rate"] == pytest.approx(1 / 3, abs=1e-4)
    assert (
        facts["by_layout"]["horizontal"] == 0.5 and facts["by_layout"]["vertical"] == facts["by_layout"]["heavy"] == 0
    )
    assert (facts["pages"], facts["samples"], facts["confidence"]) == (3, 1, 0.5)
    assert (facts["stamps_misread"], facts["directions_mistaken"]) == (1, 1)
    assert facts["decisions"] == {"ALLOW": 1} and facts["kinds"] == {first.image_type: 3}
