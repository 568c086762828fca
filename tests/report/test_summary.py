"""Tables for the terminal line up whatever the script, and data cannot steer the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.report.summary import budget_table, card_table, pad, printable, table, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), ("判定", 4), ("ｶﾅ", 2), ("ＡＢ", 4), ("か\u3099", 2), ("a\u200bb", 2), ("—─✓", 3), ("😀", 2)],
)
def test_width_in_columns(text: str, columns: int) -> None:
    assert width(text) == columns


def test_full_width_text_lines_up() -> None:
    text = table([["学習", 92.4, "超過"], ["export", 5, ""]], ["段階", "秒", ""])
    assert text.splitlines() == [
        "段階      秒",
        "──────  ────  ────",
        "学習    92.4  超過",
        "export     5",
    ]


@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), max_size=5))
def test_last_column_starts_at_the_same_place(rows: list[list[str]]) -> None:
    marked = [[a, b, "x", "|"] for a, b, _ in rows]
    lines = table(marked, ["甲", "b", "c", "|"]).splitlines()
    starts = {width(line[: line.rindex("|")]) for line in (lines[0], *lines[2:])}
    assert len(starts) == 1
    assert len(lines) == len(rows) + 2


def test_ragged_rows_and_none_are_filled() -> None:
    assert table([[None], ["a", "b", "c"]], ["x"]).splitlines()[2:] == ["", "a  b  c"]
    assert table([], ["x"]).splitlines() == ["x", "─"]


def test_control_characters_cannot_reach_the_terminal() -> None:
    assert printable("a\x1b[31m\nb\u202ec") == "a\ufffd[31m b\ufffdc"
    assert "\x1b" not in table([["\x1b]0;title\x07"]], ["\x9b2J"])
    assert "\n" not in printable("a\r\nb\tc\x85d")


def test_pad_keeps_longer_text() -> None:
    assert pad("判定", 3) == "判定" and pad("判", 4) == "判  " and pad("判", 4, right=True) == "  判"


def test_budget_table_names_what_is_over() -> None:
    text = budget_table(
        [{"stage": "train", "seconds": 92.4, "budget": 90}, {"stage": "own", "seconds": 3, "budget": None}]
    )
    lines = text.splitlines()
    assert lines[2].endswith("超過") and "1 min 32 s" in lines[2]
    assert lines[3].startswith("own") and "—" in lines[3]
    assert lines[4].startswith("合計") and lines[4].endswith("超過")
    assert "over" in budget_table([{"stage": "train", "seconds": 2, "budget": 1}], "en")


def test_card_table_in_both_languages() -> None:
    rows = [{"name": "refuse_recall", "value": 0.87, "bound": 0.9, "passed": False}]
    card = {"name": "tiny", "demo": True, "thresholds": {"passed": False, "rows": rows}}
    assert card_table(card).startswith("tiny: 不合格 (デモ用)\n")
    last = card_table(card).splitlines()[-1]
    assert "87.0 %" in last and "≥ 90.0 %" in last and "> 95.0 %" in last and last.endswith("不合格")
    assert card_table(card, "en").splitlines()[-1].startswith("Refuse recall")


def test_card_without_thresholds_shows_its_figures() -> None:
    result = {"accuracy": {"value": 0.5, "n": 160}}
    card = {"name": "x", "deployed": "F16", "results": {"F16": {"splits": {"test": result}}}}
    assert card_table(card).splitlines()[-1].split() == ["正解率", "50.0", "%", "160"]
    assert card_table({"name": "x"}) == "x: 未判定"
