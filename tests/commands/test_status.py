"""so8t status says how a training goes from the tails of its logs, once, again and again, and as JSON."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t import cli
from so8t.commands import status as command
from so8t.commands.status import Screen, cut, one_line, run_state, status_lines
from so8t.commands.training_view import HISTORY_TAIL, training_line, training_lines, training_state
from so8t.core.run import STAGES, Manifest, Run
from so8t.report.summary import width

NOW = 1_795_600_000.0
CONFIG = {"train": {"checkpoint": {"seconds": 180.0, "keep": 5}}}
Record = dict[str, Any]


def stamped(at: float, /, **record: Any) -> Record:
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(at)), **record}


def write(path: Path, records: list[Record], torn: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records) + torn, encoding="utf-8")


def steps(count: int) -> list[Record]:
    return [
        {"step": i, "loss": 8.0 - 4 * i / count, "pet": 3.0, "pet_weight": 0.005, "rate": 0.0002, "gradient_norm": 1.25,
         "tokens": 1000} for i in range(count)
    ]  # fmt: skip


EVENTS = [
    stamped(NOW - 900, step=0, event="start", steps=500),
    stamped(NOW - 100, step=150, event="checkpoint", seconds=0.2),
    stamped(NOW - 40, step=180, event="split", pieces=2, ja="二つに分けました", en="split in two"),
    stamped(NOW - 5, step=199, event="gpu", temperature=71.0, utilisation=98.0, watts=150.5, memory_used=9 * 2**30,
            memory_total=12 * 2**30),
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose training is at step 200 of 500, at 2.5 steps a second."""
    run = Run(tmp_path / "runs" / "night")
    for name in STAGES[: STAGES.index("train")]:
        run.write(Manifest(name, "done", {}, {}, "", seconds=1.5))
    run.write(Manifest("train", "running", CONFIG, {}, ""))
    write(run.work("train") / "history.jsonl", steps(200), '{"step": 200, "lo')
    write(run.work("train") / "events.jsonl", EVENTS, '{"ti')
    progress = {"task": "training", "done": 200, "total": 500, "unit": "step", "rate": 2.5, "seconds_left": 120.0}
    write(run.log, [
        stamped(NOW - 900, stage="train", event="start", number=6, of=11),
        stamped(NOW - 2, stage="train", event="progress", **progress),
        stamped(NOW - 2, stage="train", event="checkpoint", step=150),
    ])  # fmt: skip
    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def finish(run: Run) -> None:
    for name in STAGES:
        run.write(Manifest(name, "done", CONFIG, {}, "", facts={"steps": 200} if name == "train" else {}, seconds=9.0))
    for name in ("history.jsonl", "events.jsonl"):
        run.stage("train").mkdir(exist_ok=True)
        (run.stage("train") / name).write_bytes((run.work("train") / name).read_bytes())
    with run.log.open("a") as f:
        f.write(json.dumps(stamped(NOW, stage="train", event="done", seconds=9.0)) + "\n")


def state(run: Run) -> Record:
    found = training_state(run, run_state(run)["now"], NOW)
    assert found is not None
    return found


def test_figures_of_a_running_training(run: Run) -> None:
    found = state(run)
    assert (found["step"], found["steps"], found["losses_of_steps"]) == (200, 500, 200)
    assert found["loss"] == pytest.approx(8 - 4 * 199 / 200) and found["gradient_norm"] == 1.25
    assert (found["pet"], found["pet_weight"], found["rate"]) == (3.0, 0.005, 0.0002)
    assert (found["tokens_per_second"], found["seconds_left"], found["age_seconds"]) == (2500.0, 120.0, 2.0)
    assert found["checkpoint"] == {"step": 150, "age_seconds": 100.0, "next_seconds": 80.0}
    assert found["gpu"]["temperature"] == 71.0 and found["gpu"]["memory_total"] == 12 * 2**30
    assert (found["event"]["event"], found["event"]["ja"], found["event"]["age_seconds"]) == (
        "split",
        "二つに分けました",
        40,
    )
    assert len(found["losses"]) == 32 and found["losses"] == sorted(found["losses"], reverse=True)


def test_lines_for_a_person(run: Run) -> None:
    text = "\n".join(training_lines(state(run), "ja", "utf-8"))
    for part in (
        "200 / 500 ステップ", "2,500 tokens/s", "残り 2:00", "損失 4.02", "PET 3", "λ 0.005", "学習率 0.0002",
        "勾配 1.25",
        "チェックポイント 150(1:40 前)", "次は 1:20 後", "GPU 71 ℃", "使用率 98 %", "メモリ 9.0 / 12.0 GiB", "150 W",
        "最近の出来事(0:40 前): 二つに分けました", "█", "▁", "直近 200 ステップ",
    ):  # fmt: skip
        assert part in text, part
    english = "\n".join(training_lines(state(run), "en", "ascii"))
    assert "last event (0:40 ago): split in two" in english and "next in 1:20" in english
    assert "█" not in english and "#" in english
    assert "200 / 500 steps  2,500 tokens/s  2:00 left  loss 4.02" in training_line(state(run), "en")
    assert "\n" not in training_line(state(run), "ja")


def test_a_dead_training_is_noticed(run: Run) -> None:
    found = training_state(run, run_state(run)["now"], NOW + 1000)
    assert found is not None and found["checkpoint"]["next_seconds"] == 0.0
    assert "16:42 前から記録なし" in training_lines(found, "ja", "utf-8")[0]
    assert "silent for 16:42" in training_line(found, "en")


def test_what_is_not_recorded_is_not_said(run: Run) -> None:
    write(run.work("train") / "history.jsonl", [{"step": 3, "loss": 2.5}])
    (run.work("train") / "events.jsonl").unlink()
    found = training_state(run, None, NOW)
    assert found is not None and found["step"] == 4
    assert [found[k] for k in ("steps", "pet", "tokens_per_second", "checkpoint", "gpu", "event")] == [None] * 6
    text = "\n".join(training_lines(found, "en", "utf-8"))
    assert "4 steps" in text and "GPU" not in text and "event" not in text and "PET —" in text


def test_checkpoint_folders_stand_in_for_events(run: Run) -> None:
    (run.work("train") / "events.jsonl").unlink()
    for step in (90, 120):
        (run.work("train") / f"step-{step:08}").mkdir()
    os.utime(run.work("train") / "step-00000120", (NOW - 30, NOW - 30))
    assert state(run)["checkpoint"] == {"step": 120, "age_seconds": 30.0, "next_seconds": 150.0}


def test_nothing_trained_yet(run: Run) -> None:
    (run.work("train") / "history.jsonl").unlink()
    found = run_state(run)
    assert found["training"] is None and "train: 200/500 step  残り 2:00" in status_lines(found, "ja", "utf-8")[-1]
    assert one_line(found, "en") == "train: 200/500 step  left 2:00"


def test_only_the_tail_is_read(run: Run) -> None:
    rows = steps(20_000)
    write(run.work("train") / "history.jsonl", rows)
    assert (run.work("train") / "history.jsonl").stat().st_size > 3 * HISTORY_TAIL
    found = state(run)
    assert found["step"] == 20_000 and 2_000 < found["losses_of_steps"] < 5_000


def test_a_new_start_has_no_old_progress(run: Run) -> None:
    with run.log.open("a") as f:
        f.write(json.dumps(stamped(NOW, stage="train", event="start", number=6, of=11)) + "\n")
    found = run_state(run)
    assert found["now"] is None and found["training"]["seconds_left"] is None


def test_a_finished_training_is_read_from_its_outputs(run: Run) -> None:
    finish(run)
    (run.work("train") / "history.jsonl").unlink()
    found = state(run)
    assert (found["step"], found["steps"], found["seconds_left"]) == (200, 200, None)
    assert found["checkpoint"]["next_seconds"] is None


Call = Callable[..., int]


@pytest.fixture
def call(run: Run, here: None) -> Call:
    def main(*arguments: str) -> int:
        return cli.main(["status", str(run.folder), *arguments])

    return main


def test_json_keeps_its_keys(call: Call, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["run", "stages", "now", "training"] and found["now"]["done"] == 200
    assert [s["state"] for s in found["stages"]][:6] == ["done"] * 5 + ["running"]
    assert found["training"]["loss"] == pytest.approx(4.02)


def test_the_table_and_the_training(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--lang", "ja") == 0
    out = capsys.readouterr().out
    assert "実行中か中断" in out and "これから" in out and "学習: 200 / 500 ステップ" in out
    assert "200/500" not in out  # nor is it said twice


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def looks(monkeypatch: pytest.MonkeyPatch, *between: Callable[[], object]) -> None:
    """What happens between two looks of --watch; Ctrl-C after the last."""
    waiting = list(between)

    def sleep(seconds: float) -> None:
        assert seconds == command.WATCH_SECONDS
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)


def test_watching_on_a_terminal_draws_over(call: Call, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    looks(monkeypatch, lambda: write(run.work("train") / "history.jsonl", steps(250)))
    assert call("--watch", "--lang", "en") == 0
    first, second = screen.getvalue().split("\x1b[J")[:2]
    assert "200 / 500 steps" in first and "250 / 500 steps" in second
    assert "\x1b[" not in first.replace("\x1b[K", "") and second.startswith(f"\x1b[{first.count(chr(10))}F")


def test_watching_a_pipe_prints_what_changed(
    call: Call, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks(monkeypatch, lambda: None, lambda: write(run.work("train") / "history.jsonl", steps(250)))
    assert call("--watch", "--lang", "en") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if line] == ["train 200 / 500 steps", "train 250 / 500 steps"]


def test_watching_in_json_prints_an_object_a_look(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks(monkeypatch, lambda: None)
    assert call("--watch", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    assert [f["training"]["step"] for f in found] == [200, 200]


def test_watching_ends_with_the_run(call: Call, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    finish(run)
    assert call("--watch", "--lang", "en") == 0
    assert capsys.readouterr().out.strip() == "11 / 11 stages done"


def test_a_screen_keeps_to_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")
    stream = io.StringIO()
    screen = Screen(stream)
    screen.draw([f"{i} {'損失' * 20}" for i in range(9)])
    lines = stream.getvalue().removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()
    assert [line[0] for line in lines] == ["5", "6", "7", "8"] and all(width(line) <= 19 for line in lines)
    screen.draw(["short"])
    assert stream.getvalue().endswith("\x1b[4Fshort\x1b[K\n\x1b[J")


@pytest.mark.parametrize(("text", "columns", "shown"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("損失損失", 5, "損失…"),
                                                        ("損失損失", 4, "損…"), ("a", 0, "…")])  # fmt: skip
def test_cut(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown
