"""What runs, how far it is, how long it will take: a line for a person, the same as JSON lines in a log file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

BAR = 20
Clock = Callable[[], float]


class Task:
    """A counted piece of work inside a stage."""

    def __init__(self, progress: Progress, name: str, total: int, unit: str, done: int = 0) -> None:
        self._progress, self.name, self.total, self.unit = progress, name, total, unit
        self.done, self._start, self._first = done, progress.clock(), done

    def advance(self, n: int = 1, **facts: Any) -> None:
        self.done += n
        elapsed = max(self._progress.clock() - self._start, 1e-9)
        rate = (self.done - self._first) / elapsed
        left = (self.total - self.done) / rate if rate > 0 else 0.0
        self._progress.show(self, rate, left, facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._progress.finish(self)


class Progress:
    """Writes to a terminal (one line kept up to date) or to a pipe (a line every five seconds), and to the log."""

    def __init__(
        self, log: Path | None = None, stream: TextIO | None = None, lang: str = "ja", clock: Clock = time.monotonic
    ) -> None:
        self.lang, self.clock = lang, clock
        self._stream = sys.stderr if stream is None else stream
        self._log = log
        self._stage, self._shown, self._logged = "", float("-inf"), float("-inf")
        self._tty = self._stream.isatty()

    def say(self, ja: str, en: str, **facts: Any) -> None:
        """A sentence for the person, with its facts for the log."""
        self._line(ja if self.lang == "ja" else en)
        self.record("note", text=en, **facts)

    @contextmanager
    def stage(self, name: str, number: int, of: int) -> Iterator[None]:
        self._stage = name
        self._line(f"[{number}/{of}] {name}")
        self.record("start", number=number, of=of)
        begin = self.clock()
        try:
            yield
        except BaseException as error:
            self.record("stopped", error=type(error).__name__, seconds=round(self.clock() - begin, 2))
            raise
        self.record("done", seconds=round(self.clock() - begin, 2))
        self._stage = ""

    def task(self, name: str, total: int, unit: str, done: int = 0) -> Task:
        """`done` > 0 when resuming, so that rate and time left stay honest."""
        return Task(self, name, total, unit, done)

    def show(self, task: Task, rate: float, left: float, facts: dict[str, Any]) -> None:
        now = self.clock()
        if now - self._logged >= 1.0 or task.done >= task.total:
            self._logged = now
            self.record(
                "progress", task=task.name, done=task.done, total=task.total, unit=task.unit,
                rate=round(rate, 3), seconds_left=round(left, 1), **facts,
            )  # fmt: skip
        if now - self._shown >= (0.2 if self._tty else 5.0):
            self._shown = now
            self._status(_bar(task, rate, left, facts, self.lang))

    def finish(self, task: Task) -> None:
        if self._tty:
            self._status("")

    def record(self, event: str, **facts: Any) -> None:
        if self._log is None:
            return
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "stage": self._stage, "event": event, **facts}
        with self._log.open("a", encoding="utf-8") as f:
            f.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")

    def _status(self, text: str) -> None:
        if self._tty:
            self._stream.write("\r\x1b[K" + text)
        elif text:
            self._stream.write(text + "\n")
        self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(("\r\x1b[K" if self._tty else "") + text + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(task: Task, rate: float, left: float, facts: dict[str, Any], lang: str) -> str:
    share = min(1.0, task.done / task.total) if task.total else 1.0
    filled = round(share * BAR)
    extra = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
    words = f"残り {duration(left)}" if lang == "ja" else f"{duration(left)} left"
    bar = "#" * filled + "." * (BAR - filled)
    return f"      {task.name} {bar} {task.done}/{task.total} {task.unit}  {rate:.3g}/s  {words}  {extra}".rstrip()
