"""A person sees what runs and how long it takes; the log says the same as JSON lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from so8t.core.progress import Progress, duration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def made(tmp_path: Path, stream: io.StringIO, lang: str = "ja") -> tuple[Progress, Clock, Path]:
    clock, log = Clock(), tmp_path / "log.jsonl"
    return Progress(log, stream, lang, clock), clock, log


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_log_of_a_stage(tmp_path: Path) -> None:
    progress, clock, log = made(tmp_path, io.StringIO())
    with progress.stage("train", 5, 10), progress.task("training", 10, "step") as task:
        for _ in range(10):
            clock.now += 2.0
            task.advance(loss=0.5)
    found = records(log)
    assert [r["event"] for r in found] == ["start", *["progress"] * 10, "done"]
    assert all(r["stage"] == "train" for r in found)
    fifth = found[5]
    assert (fifth["done"], fifth["total"], fifth["rate"], fifth["seconds_left"]) == (5, 10, 0.5, 10.0)
    assert fifth["loss"] == 0.5 and found[-1]["seconds"] == 20.0


def test_a_resumed_task_counts_only_its_own_work(tmp_path: Path) -> None:
    progress, clock, log = made(tmp_path, io.StringIO())
    task = progress.task("training", 100, "step", done=90)
    clock.now += 5.0
    task.advance()
    last = records(log)[-1]
    assert (last["done"], last["rate"], last["seconds_left"]) == (91, 0.2, 45.0)


def test_a_stopped_stage_says_why(tmp_path: Path) -> None:
    progress, _, log = made(tmp_path, io.StringIO())
    with pytest.raises(KeyboardInterrupt), progress.stage("base", 4, 10):
        raise KeyboardInterrupt
    assert records(log)[-1] | {"time": ""} == {
        "time": "", "stage": "base", "event": "stopped", "error": "KeyboardInterrupt", "seconds": 0.0,
    }  # fmt: skip


def test_a_pipe_gets_a_line_every_five_seconds_and_a_terminal_one_kept_line(tmp_path: Path) -> None:
    for stream, lines in ((io.StringIO(), 3), (Terminal(), 0)):
        progress, clock, _ = made(tmp_path, stream)
        task = progress.task("x", 100, "text")
        for _ in range(11):
            clock.now += 1.0
            task.advance()
        assert stream.getvalue().count("\n") == lines
    assert stream.getvalue().count("\r\x1b[K") == 11


@pytest.mark.parametrize(("lang", "word"), [("ja", "残り 0:09"), ("en", "0:09 left")])
def test_time_left_in_both_languages(tmp_path: Path, lang: str, word: str) -> None:
    stream = io.StringIO()
    progress, clock, _ = made(tmp_path, stream, lang)
    clock.now += 10.0
    task = progress.task("x", 10, "text")
    clock.now += 1.0
    task.advance()
    assert word in stream.getvalue() and "1/10 text" in stream.getvalue()


def test_say_keeps_both(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress, _, log = made(tmp_path, stream)
    progress.say("済み", "done before", n=3)
    assert stream.getvalue() == "済み\n"
    assert records(log)[0]["text"] == "done before" and records(log)[0]["n"] == 3


def test_nothing_to_do_divides_by_nothing(tmp_path: Path) -> None:
    progress, _, _ = made(tmp_path, io.StringIO())
    with progress.task("x", 0, "text") as task:
        task.advance(0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03"), (-5, "0:00")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
