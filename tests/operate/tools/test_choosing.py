"""What the model is asked about tools fits its window, however many there are and however much they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.types import Excerpt, Request, Turn
from so8t.operate.answering import Answering
from so8t.operate.tools.choosing import MAXIMUM_TOKENS, SHORTEST_SHOWN, question, wish
from so8t.operate.tools.description import Description

ANSWERING = Answering(None, context=2048)  # type: ignore[arg-type]  # nothing is asked here


def described(number: int, length: int) -> Description:
    return Description(
        "office", {"name": f"tool_{number}", "description": "あ" * length, "inputSchema": {"type": "object"}}
    )


def asked(tools: list[Description], told: list[tuple[str, str]], query: str = "在庫は?") -> Request:
    request = Request(
        "r", query, "公開", None, None, "sato", (Turn("user", "前の話"),), (Excerpt("d", "p", "公開", "文"),)
    )
    return question(request, tools, told, lambda one: ANSWERING.room(one, MAXIMUM_TOKENS))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=50), st.lists(st.integers(0, 3000), max_size=5))
def test_it_fits_the_window(lengths: list[int], results: list[int]) -> None:
    made = asked([described(n, length) for n, length in enumerate(lengths)], [("a/b", "い" * n) for n in results])
    assert ANSWERING.room(made, MAXIMUM_TOKENS) >= 0
    assert "office/tool_0" in made.query and not made.history and not made.documents


def test_short_ones_stay_whole_and_long_ones_share_the_rest() -> None:
    made = asked([described(0, 10), described(1, 3000), described(2, 3000)], [("a/b", "い" * 20)])
    lines = [line for line in made.query.splitlines() if line.startswith("- office/")]
    assert lines[0].endswith("}") and "「" + "い" * 20 + "」" in made.query
    assert abs(len(lines[1]) - len(lines[2])) <= 1 and len(lines[1]) > 100


def test_too_many_tools_are_not_shown_as_a_mere_letter() -> None:
    made = asked([described(n, 200) for n in range(50)], [])
    lines = [line for line in made.query.splitlines() if line.startswith("- office/")]
    assert 1 < len(lines) < 50 and min(map(len, lines)) >= SHORTEST_SHOWN - 1


def test_a_request_that_fills_the_window_leaves_no_room_and_breaks_nothing() -> None:
    made = asked([described(0, 50)], [("a/b", "結果")], "長" * 2000)
    assert ANSWERING.room(made, MAXIMUM_TOKENS) < 0 and "長" * 2000 in made.query


@pytest.mark.parametrize(
    "text", ["", "なし", "{", '{"tool": "other", "arguments": {}}', '{"tool": "a/b", "arguments": []}']
)
def test_anything_but_a_valid_wish_is_none(text: str) -> None:
    assert wish(text, ["a/b"]) is None


def test_a_wish_is_found_behind_words() -> None:
    assert wish('はい。{"tool": "a/b", "arguments": {"n": 1}} です', ["a/b"]) == ("a/b", {"n": 1})
