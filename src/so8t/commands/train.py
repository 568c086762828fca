"""so8t train: shows the plan, asks, trains here or in the background (plan 5.2, SPEC T2)."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from so8t.commands.run import stage
from so8t.core.config import Config, load_config
from so8t.core.errors import RunBusy, So8tError, UsageError
from so8t.core.run import Run
from so8t.pipeline import STAGE_TABLE
from so8t.report.summary import table

OUTPUT = "train.out"
WAIT_SECONDS, LOOK_SECONDS = 20.0, 0.2  # how long the start of a background training is watched, and how often
TAIL = 4000  # bytes of its output that are shown when it ends at once


def train(options: argparse.Namespace) -> int:
    """The stage train, after a yes; with --detach it goes on when this terminal is closed."""
    config = load_config(options.profile, options.config)
    run = Run(options.runs / (options.name or config.profile))
    options.from_checkpoint = _checkpoint(options.from_checkpoint, run)
    if options.detach:
        _refuse_busy(run)
        for needed in STAGE_TABLE["train"].inputs:
            run.require(needed)
    if not options.yes and not _agreed(config, options):
        return 0
    return detach(options, run) if options.detach else stage(options)


def _checkpoint(given: Path | None, run: Run) -> Path | None:
    """A folder, or the name of one of the run's own checkpoints. Raises UsageError when there is none."""
    if given is None:
        return None
    found = next((p for p in (given, run.folder / "work" / "train" / given) if p.is_dir()), None)
    if found is None:
        raise UsageError(where=given, detail="--from: not a checkpoint folder")
    return found


def _agreed(config: Config, options: argparse.Namespace) -> bool:
    """plan 5.2: show what is about to happen and ask. Without a terminal the answer is --yes or nothing."""
    ja = options.lang == "ja"
    stream = sys.stderr if options.json else sys.stdout
    _show_plan(config, stream, options.lang)
    if not sys.stdin.isatty():
        raise UsageError(detail="no terminal to ask: pass --yes")
    print("始めますか [Y/n] " if ja else "Start [Y/n] ", end="", file=stream, flush=True)
    answer = sys.stdin.readline()  # "" is the end of the input, no answer
    return answer != "" and answer.strip().lower() in ("", "y", "yes", "はい")


def _show_plan(config: Config, stream: TextIO, lang: str) -> None:
    """The planner's rows; a plan that cannot be made is said and stops nothing here."""
    from so8t.build.planner import estimate

    ja = lang == "ja"
    print(f"profile {config.profile}: {'学習の見積り' if ja else 'plan of the training'}", file=stream)
    try:
        rows = [[row.ja if ja else row.en, row.value] for row in estimate(config)]
    except So8tError as error:
        print(error.render(lang), file=stream)
        return
    print(table(rows, ["項目", "見積り"] if ja else ["item", "estimate"]), file=stream)


def _refuse_busy(run: Run) -> None:
    """Raises RunBusy when another process works on the run."""
    from filelock import FileLock, Timeout

    if not run.folder.is_dir():
        return
    try:
        with FileLock(run.folder / ".lock", timeout=0):
            return
    except Timeout:
        raise RunBusy(where=run.folder) from None


def detach(options: argparse.Namespace, run: Run) -> int:
    """Start the same command without its terminal; returns once it has begun, or its exit code if it ended at once."""
    output = run.folder / OUTPUT
    began = _size(run.log)
    start = _size(output)
    with output.open("ab") as f:
        process = subprocess.Popen(
            command(options), stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, **background()
        )
    code = _watch_start(process, run.log, began)
    if code is not None:
        print(_said(output, start), file=sys.stderr)
        return code
    _tell(options, run, process.pid, output)
    return 0


def command(options: argparse.Namespace) -> list[str]:
    """The arguments of the background process: this interpreter, the same options, nothing left to ask."""
    words: list[str] = [sys.executable, "-m", "so8t", "train", "--yes", "--lang", options.lang]
    words += ["--runs", str(options.runs.absolute())]
    for name in ("profile", "name"):
        words += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    for name, path in (("config", options.config), ("from", options.from_checkpoint)):
        words += [f"--{name}", str(path.absolute())] if path is not None else []
    for flag in ("json", "accept_change"):
        words += ["--" + flag.replace("_", "-")] if getattr(options, flag) else []
    return words


def background() -> dict[str, Any]:
    """Arguments of Popen that cut a process from this terminal, so that closing it does not end the training."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _watch_start(process: subprocess.Popen[bytes], log: Path, size: int) -> int | None:
    """Exit code of a process that ended before it wrote to the run's log; None once it did, or after WAIT_SECONDS."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        code = process.poll()
        if code is not None:
            return code
        if _size(log) > size:
            return None
        time.sleep(LOOK_SECONDS)
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _said(output: Path, start: int) -> str:
    """The end of what the process wrote."""
    with output.open("rb") as f:
        f.seek(max(start, _size(output) - TAIL))
        return f.read(TAIL).decode("utf-8", "replace").strip()


def _tell(options: argparse.Namespace, run: Run, pid: int, output: Path) -> None:
    watch = ["so8t", "status", str(run.folder), "--watch"]
    if options.json:
        print(json.dumps({"run": str(run.folder), "pid": pid, "out": str(output), "watch": watch}, ensure_ascii=False))
        return
    for ja, en in _words(run, pid, output, watch):
        print(ja if options.lang == "ja" else en)


def _words(run: Run, pid: int, output: Path, watch: Sequence[str]) -> list[tuple[str, str]]:
    words = [
        (f"学習を裏で始めました(プロセス {pid})。", f"training began in the background (process {pid})."),
        (f"様子を見る: {' '.join(watch)}", f"watch it: {' '.join(watch)}"),
        (f"出力: {output}", f"its output: {output}"),
    ]
    if os.name != "nt":
        stop = f"kill {pid}"
        words.append((f"止める: {stop}(今のステップを保存して終わる)", f"stop it: {stop} (saves the step it is at)"))
    again = ("同じコマンドで続きから再開します。", "The same command goes on from there.")
    return [*words, again]
