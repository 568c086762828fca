"""Work on what comes from outside, in a process of its own: bounded in time, and what breaks it breaks it alone.

The parent writes one line of JSON, {"bytes": n, ...}, and n bytes; the child says lines of JSON, {"answer": ...}, and
at last {"end": true} or {"error": ...}. A decoder that hangs is killed with its process and the next question starts a
new one; no decoder's crash reaches the server, and its work does not hold the server's interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from so8t.core.errors import PackageMissing, ReaderFailed, So8tError, SourceUnreadable

MAXIMUM_LINE = 64 << 20  # bytes of one answer: a page as PNG in base64, the text of a recording
MAXIMUM_CONTENT = 1 << 30
ENDING_SECONDS = 1.0  # until one that has closed its pipe is gone
Answers = Callable[[Mapping[str, Any], bytes], Iterable[Mapping[str, Any]]]


class Child:
    """`module` is run with -m; `seconds` may pass until its next answer. Any thread may ask; one question at a time.

    `low`: only with what others leave of the processor.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), *, seconds: float = 60.0, low: bool = False) -> None:
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._seconds, self._low = seconds, low
        self._process: subprocess.Popen[bytes] | None = None
        self._one = threading.Lock()

    def ask(self, head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
        """The answers as they come; who stops listening ends the process.

        Raises SourceUnreadable for what the child says is wrong with the content, and for nothing else; ReaderFailed
        when it dies, is late or fails in any other way, whatever it was given; PackageMissing.
        """
        with self._one:
            whole = False
            try:
                process = self._started()
                self._send(process, head, content)
                while "end" not in (told := self._told(process)):
                    if "answer" not in told:
                        error = _error(told)
                        whole = isinstance(error, SourceUnreadable)
                        raise error
                    yield told["answer"]
                whole = True
            finally:
                if not whole:
                    self._kill()

    def close(self) -> None:
        """Ends it, also in the middle of a question."""
        self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
            try:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env=environment, creationflags=_BELOW_NORMAL if self._low else 0,
                )  # fmt: skip
            except OSError as error:  # no memory, no more processes
                raise ReaderFailed(detail=f"not started: {type(error).__name__}") from error
            if self._low and hasattr(os, "setpriority"):
                with contextlib.suppress(OSError):  # one that is gone already shows when it is asked
                    os.setpriority(os.PRIO_PROCESS, self._process.pid, 10)
        return self._process

    def _send(self, process: subprocess.Popen[bytes], head: Mapping[str, Any], content: bytes) -> None:
        assert process.stdin is not None
        line = json.dumps({**head, "bytes": len(content)}).encode() + b"\n"
        try:
            with self._watched(process):
                process.stdin.write(line)
                process.stdin.write(content)
                process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: its pipe was closed from elsewhere
            raise ReaderFailed(detail=_ending(process)) from error

    def _told(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        with self._watched(process) as watch:
            try:
                line = process.stdout.readline(MAXIMUM_LINE)
            except (OSError, ValueError):
                line = b""
        if not line.endswith(b"\n"):
            raise ReaderFailed(detail=f"> {self._seconds:g} s" if watch.late else _ending(process))
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ReaderFailed(detail="it said something that is no answer")
        return found

    def _watched(self, process: subprocess.Popen[bytes]) -> _Watch:
        return _Watch(process, self._seconds)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was still to be written
                continue
        process.wait()


class _Watch:
    """Kills a process that takes too long for what the block waits for."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process, self.late = process, False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.late = True
        self._process.kill()


_BELOW_NORMAL = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How it ended: -9 is what an administrator, or a system without memory, does to it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDING_SECONDS)
    return f"it stopped ({process.returncode})"


def _error(told: Mapping[str, Any]) -> So8tError:
    """What the child says went wrong. Only what it names so is the content's fault."""
    name, where, detail = (str(told.get(key, "")) for key in ("error", "where", "detail"))
    if name == SourceUnreadable.__name__:
        return SourceUnreadable(where=where, detail=detail)
    if name == PackageMissing.__name__:
        return PackageMissing(detail=detail)
    if name == ReaderFailed.__name__:
        return ReaderFailed(where=where, detail=detail)
    return ReaderFailed(where=where, detail=": ".join(filter(None, (name, detail))))


def serve(answers: Answers) -> None:
    """The child's side: one question after the other until the parent has gone."""
    source, out = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    while line := source.readline(1 << 20):
        head = json.loads(line)
        size = int(head.pop("bytes"))
        if not 0 <= size <= MAXIMUM_CONTENT:
            return
        content = _exactly(source, size)
        try:
            for answer in answers(head, content):
                _say(out, {"answer": answer})
        except So8tError as error:
            _say(out, {"error": type(error).__name__, "where": error.where, "detail": error.detail})
        except Exception as error:  # no reader foresaw it
            _say(out, {"error": type(error).__name__})
        else:
            _say(out, {"end": True})


def _exactly(source: BinaryIO, size: int) -> bytes:
    content = source.read(size)
    if len(content) < size:
        raise SystemExit
    return content


def _say(out: BinaryIO, answer: Mapping[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()
