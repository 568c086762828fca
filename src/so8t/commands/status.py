"""so8t status: how far a run is, once or again and again until it is done."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from so8t.commands.training_view import training_line, training_lines, training_state
from so8t.core.progress import duration
from so8t.core.run import STAGES, Run
from so8t.pipeline import find_run
from so8t.report.figures import number
from so8t.report.summary import table, width
from so8t.report.training_log import read_tail

WATCH_SECONDS = 2.0
LOG_TAIL = 20_000  # bytes of the run's log that the newest progress record lies in
State = dict[str, Any]


def status(options: argparse.Namespace) -> int:
    """Every stage with its state, what runs now, and how the training goes. Ctrl-C ends --watch quietly."""
    run = find_run(options.name, options.runs)
    if not options.watch:
        _show(run_state(run), options)
        return 0
    try:
        _watch(run, options)
    except KeyboardInterrupt:
        print()
    return 0


def run_state(run: Run) -> State:
    """{run, stages, now, training}, each None where there is nothing to say."""
    now = _last_progress(run)
    rows = [_stage_row(run, name) for name in STAGES]
    return {"run": str(run.folder), "stages": rows, "now": now, "training": training_state(run, now)}


def _watch(run: Run, options: argparse.Namespace) -> None:
    """On a terminal one picture kept up to date, in JSON an object a look, else a line whenever something changed."""
    screen, said = Screen(sys.stdout), ""
    while True:
        state = run_state(run)
        done = all(r["state"] == "done" for r in state["stages"])
        if options.json:
            _show(state, options)
        elif sys.stdout.isatty():
            screen.draw(status_lines(state, options.lang, sys.stdout.encoding))
        elif (line := one_line(state, options.lang)) != said:
            said = line
            print(line, flush=True)
        if done:
            return
        time.sleep(WATCH_SECONDS)


def _show(state: State, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(state, ensure_ascii=False), flush=True)
    else:
        print("\n".join(status_lines(state, options.lang, sys.stdout.encoding)))


class Screen:
    """Lines of a terminal that are drawn over: cut to its width and height, so that none wraps or scrolls away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._drawn = stream, 0

    def draw(self, lines: Sequence[str]) -> None:
        size = shutil.get_terminal_size()
        shown = [cut(line, size.columns - 1) for line in lines][-max(1, size.lines - 1) :]
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        self._stream.write(back + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J")
        self._stream.flush()
        self._drawn = len(shown)


def cut(text: str, columns: int) -> str:
    """The beginning of a text that fits a number of columns."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def status_lines(state: State, lang: str, encoding: str | None) -> list[str]:
    """The stages as a table, then the training, then what else runs; the last lines matter most."""
    ja = lang == "ja"
    words = {"done": "済み", "running": "実行中か中断", "waiting": "これから"} if ja else {}
    body = [
        [r["stage"], words.get(r["state"], r["state"]), "" if r["seconds"] is None else f"{r['seconds']:.1f}"]
        for r in state["stages"]
    ]
    lines = [f"{'実行' if ja else 'run'}: {state['run']}"]
    lines += table(body, ["段階", "状態", "秒"] if ja else ["stage", "state", "seconds"]).splitlines()
    if state["training"] is not None:
        lines += ["", *training_lines(state["training"], lang, encoding)]
    if state["now"] is not None and (state["training"] is None or state["now"].get("stage") != "train"):
        lines += ["", _now_line(state["now"], ja)]
    return lines


def one_line(state: State, lang: str) -> str:
    """What runs now: the training with its figures, another stage, or how many stages are done."""
    now = state["now"]
    if now is not None and now.get("stage") == "train" and state["training"] is not None:
        return training_line(state["training"], lang)
    if now is not None:
        return _now_line(now, lang == "ja")
    done = sum(r["state"] == "done" for r in state["stages"])
    return f"{done} / {len(state['stages'])} {'段階が済み' if lang == 'ja' else 'stages done'}"


def _now_line(now: State, ja: bool) -> str:
    left = duration(number(now.get("seconds_left")) or 0.0)
    return f"{now['stage']}: {now.get('done')}/{now.get('total')} {now.get('unit')}  {'残り' if ja else 'left'} {left}"


def _stage_row(run: Run, name: str) -> State:
    manifest = run.manifest(name)
    if manifest is None:
        return {"stage": name, "state": "waiting", "seconds": None, "adjustments": []}
    return {
        "stage": name, "state": manifest.status, "seconds": manifest.seconds if manifest.done else None,
        "adjustments": manifest.adjustments,
    }  # fmt: skip


def _last_progress(run: Run) -> State | None:
    """The newest progress record of the log, unless its stage has ended or begun anew."""
    for record in reversed(read_tail(run.log, LOG_TAIL)):
        if record.get("event") in ("start", "done", "stopped"):
            return None
        if record.get("event") == "progress":
            found: State = record
            return found
    return None
