"""Logs of a killed training are read: what is torn is passed over, what was made again counts once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import SourceUnreadable
from so8t.report.training_log import LONGEST_LINE, angle_rows, ordered_steps, points, read_log, read_tail

LINES = [{"step": i, "loss": 5.0 - i} for i in range(4)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    text = "".join(json.dumps(r) + "\n" for r in LINES)
    for cut in range(1, 20):
        assert read_log(write(tmp_path / "h", text[:-cut])) == (LINES if cut == 1 else LINES[:-1])


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    text = '{"step": 0}\n[1]\n"x"\n{"step": 1, "lo{"step": 2}\n' + "[" * 100_000 + '\n\n\x00\n{"step": 3}\n'
    assert read_log(write(tmp_path / "h", text)) == [{"step": 0}, {"step": 3}]
    (tmp_path / "b").write_bytes(b'{"step": 0}\n\xff\xfe\n{"step": 1}\n')
    assert read_log(tmp_path / "b") == [{"step": 0}, {"step": 1}]


def test_an_endless_line_is_read_in_pieces(tmp_path: Path) -> None:
    assert read_log(write(tmp_path / "h", "x" * (2 * LONGEST_LINE + 5) + '\n{"step": 7}\n')) == [{"step": 7}]


def test_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "h", '{"step": 0}\n' * 100)
    with pytest.raises(SourceUnreadable):
        read_log(path, 500)
    assert read_log(tmp_path / "none") == [] and read_tail(tmp_path / "none", 10) == []


@given(st.integers(1, 300))
def test_a_tail_is_the_end_of_the_log(tmp_path_factory: pytest.TempPathFactory, most: int) -> None:
    path = tmp_path_factory.getbasetemp() / "tail"
    text = "".join(json.dumps(r) + "\n" for r in LINES)
    found = read_tail(write(path, text), most)
    assert found == LINES[len(LINES) - len(found) :]
    assert len(found) >= most // 30 - 1 or len(found) == len(LINES)


def test_steps_made_again_count_as_the_last_time() -> None:
    rows = ordered_steps([{"step": 0, "loss": 1}, {"step": 1, "loss": 9}, {"loss": 3}, {"step": 1, "loss": 2}])
    assert points(rows, "loss") == [(0.0, 1.0), (1.0, 2.0)]
    assert points([{"step": 0, "loss": float("nan")}, {"step": "a", "loss": 1}], "loss") == []


def test_angles_have_as_many_layers_as_the_last() -> None:
    rows = [
        {"step": 0, "angles": [0.1]},
        {"step": 1},
        {"step": 2, "angles": [0.1, 0.2]},
        {"step": 3, "angles": [1, None]},
    ]
    assert angle_rows(rows) == [(2.0, [0.1, 0.2])]
    assert angle_rows([{"step": 0, "angles": "12"}, {"step": 1, "angles": []}]) == []
