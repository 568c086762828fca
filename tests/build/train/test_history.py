"""The record of a training: whole lines in order, torn ones forgotten, times in the events alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from so8t.build.train.history import Events, History, StepFacts


def facts(step: int, angles: tuple[float, ...] = ()) -> StepFacts:
    return StepFacts(step, 2.0, 0.5, 0.01, 1e-3, 0.7, 40, angles)


def filled(folder: Path, count: int) -> History:
    history = History(folder)
    for step in range(count):
        history.add(facts(step))
    return history


def test_a_line_a_step_with_angles_where_there_are_some(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(facts(0, (0.1, 0.2)))
    history.add(facts(1))
    first, second = (json.loads(line) for line in history.path.read_text().splitlines())
    assert first["angles"] == [0.1, 0.2] and "angles" not in second
    assert second == {"step": 1, "loss": 2.0, "pet": 0.5, "pet_weight": 0.01, "rate": 1e-3, "gradient_norm": 0.7,
                      "tokens": 40}  # fmt: skip


@pytest.mark.parametrize("step", [0, 3, 5, 9])
def test_cut_keeps_the_steps_before(tmp_path: Path, step: int) -> None:
    history = filled(tmp_path, 5)
    kept = history.cut(step)
    assert [r["step"] for r in kept] == list(range(min(step, 5)))
    assert [json.loads(line) for line in history.path.read_text().splitlines()] == kept


@pytest.mark.parametrize("tail", ['{"step": 5, "lo', "\x00\x00\x00", '{"step": 9}\n', "[1]\n", '{"loss": 1}\n'])
def test_what_a_dying_process_left_behind_is_dropped(tmp_path: Path, tail: str) -> None:
    history = filled(tmp_path, 5)
    with history.path.open("a") as f:
        f.write(tail)
    assert len(history.cut(99)) == 5
    assert len(history.path.read_text().splitlines()) == 5


def test_last_records(tmp_path: Path) -> None:
    assert [r["step"] for r in filled(tmp_path, 7).last(3)] == [4, 5, 6]


def test_no_history_yet(tmp_path: Path) -> None:
    assert History(tmp_path).cut(3) == []


def test_events_carry_the_time_and_only_one_process_writes(tmp_path: Path) -> None:
    Events(tmp_path, write=False).record("stop", 1, {})
    assert not (tmp_path / "events.jsonl").exists()
    Events(tmp_path).record("rollback", 4, {"ja": "戻る", "en": "back"})
    record = json.loads((tmp_path / "events.jsonl").read_text(encoding="utf-8"))
    assert (
        record["event"] == "rollback" and record["step"] == 4 and record["ja"] == "戻る" and record["time"][:2] == "20"
    )
