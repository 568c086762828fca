"""Contestants in processes of their own that step in turn (A B C, B C A, ...), so that all meet the same weather.

The parent writes "go" and waits for the answer; a contestant whose turn it is not waits on its standard input and uses
no processor. Answers are JSON lines; whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from training import memory


class Turns:
    """The contestant's side. Make it before the libraries are imported: their memory is what `base` is."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._wall = self._cpu = 0.0
        self._base = 0

    def libraries_are_loaded(self) -> None:
        self._base = memory.now()

    def ready(self, **facts: Any) -> None:
        """Model and data are there; the peak counts from here."""
        memory.forget_peak()
        self._answer(facts | {"base": self._base})

    def wait(self) -> bool:
        """Until it is our turn; False = there is none any more."""
        line = sys.stdin.readline()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return line == "go\n"

    def done(self, **facts: Any) -> None:
        """One optimizer step is finished."""
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._answer(facts | {"seconds": seconds, "cpu": cpu, "peak": memory.peak()})

    def _answer(self, facts: dict[str, Any]) -> None:
        self._answers.write(json.dumps(facts) + "\n")
        self._answers.flush()


class Contestant:
    """The parent's side: start, then step() as often as wanted."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.steps: list[dict[str, Any]] = []
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 lives as long
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8"
        )
        self.start = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(60)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def step(self, counts: bool = True) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._read()
        if counts:
            self.steps.append(answer)
        return answer

    @property
    def peak(self) -> int:
        """Bytes at the highest point of any step, the libraries' own subtracted."""
        return max(int(s["peak"]) for s in self.steps) - int(self.start["base"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SystemExit(f"{self.name} ended early:\n{self._errors.read()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def play(contestants: Sequence[Contestant], rounds: int, warm: int = 1) -> None:
    """`rounds` steps of each, the first place going round; `warm` steps before that do not count."""
    for contestant in contestants:
        for _ in range(warm):
            contestant.step(counts=False)
    for turn in range(rounds):
        first = turn % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            contestant.step()
