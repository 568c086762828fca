"""A child at the real edge: killed when it is late, replaced when it has died, alone with what breaks it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from so8t.core.child import Child
from so8t.core.errors import PackageMissing, ReaderFailed, SourceUnreadable

PROGRAM = """
import os, time
from so8t.core.child import serve
from so8t.core.errors import PackageMissing, ReaderFailed, SenseUnusable, SourceUnreadable

def answers(head, content):
    print("a library says something")
    os.write(1, b"and its C part too\\n")
    what = head["do"]
    if what == "hang":
        time.sleep(60)
    if what == "die":
        os._exit(3)
    if what == "raise":
        raise ValueError("anything")
    if what == "memory":
        raise MemoryError
    if what == "weights":
        raise SenseUnusable(where="model.onnx", detail="SHA-256")
    if what == "engine":
        raise ReaderFailed(where="page 1", detail="rapidocr")
    if what == "unreadable":
        raise SourceUnreadable(where="page 1", detail="torn")
    if what == "missing":
        raise PackageMissing(detail="eyes")
    for n in range(head.get("times", 1)):
        yield {"size": len(content), "n": n, "pid": os.getpid(), "end": 1.5, "error": "a field of the answer"}
        if what == "half":
            raise SourceUnreadable(detail="after one")

serve(answers)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / "program_of_test.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Child("program_of_test", seconds=3.0, low=True)
    yield made
    made.close()


def one(answers: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """The only answer; who takes the first and goes ends the process."""
    (found,) = answers
    return found


def test_it_answers_and_stays(child: Child) -> None:
    first = list(child.ask({"do": "tell", "times": 3}, b"x" * 1_000_000))
    assert [told["n"] for told in first] == [0, 1, 2] and first[0]["size"] == 1_000_000
    assert one(child.ask({"do": "tell"}, b""))["pid"] == first[0]["pid"]


def test_what_it_cannot_read_is_told_and_it_stays(child: Child) -> None:
    before = one(child.ask({"do": "tell"}, b""))
    with pytest.raises(SourceUnreadable, match="torn"):
        list(child.ask({"do": "unreadable"}, b""))
    with pytest.raises(SourceUnreadable, match="after one"):
        list(child.ask({"do": "half", "times": 2}, b""))
    assert one(child.ask({"do": "tell"}, b""))["pid"] == before["pid"]
    with pytest.raises(PackageMissing, match="eyes"):
        list(child.ask({"do": "missing"}, b""))
    assert list(child.ask({"do": "tell"}, b""))


@pytest.mark.parametrize(("what", "why"), [
    ("raise", "ValueError"), ("memory", "MemoryError"), ("weights", "SenseUnusable: SHA-256"), ("engine", "rapidocr"),
    ("die", r"stopped \(3\)"), ("hang", "> 3 s"),
])  # fmt: skip
def test_whatever_else_goes_wrong_is_its_own_fault_and_it_is_replaced(child: Child, what: str, why: str) -> None:
    """Of the content nothing is known then."""
    before, begin = one(child.ask({"do": "tell"}, b"")), time.monotonic()
    with pytest.raises(ReaderFailed, match=why):
        list(child.ask({"do": what}, b""))
    assert time.monotonic() - begin < 10
    after = one(child.ask({"do": "tell"}, b"after"))
    assert after["size"] == 5 and after["pid"] != before["pid"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_one_that_the_system_kills(child: Child) -> None:
    pid = one(child.ask({"do": "tell"}, b""))["pid"]
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(ReaderFailed, match=r"stopped \(-9\)"):
        list(child.ask({"do": "hang"}, b""))
    assert list(child.ask({"do": "tell"}, b""))


@pytest.mark.parametrize("said", ["[1]", "{", "", "あ"])
def test_one_that_says_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = f"import sys, time\nsys.stdin.buffer.readline()\nprint({said!r}, flush=True)\ntime.sleep(60)\n"
    (tmp_path / "other_program_of_test.py").write_text(program, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    other = Child("other_program_of_test", seconds=3.0)
    with pytest.raises(ReaderFailed, match="no answer"):
        list(other.ask({}, b""))
    other.close()


def test_one_that_cannot_be_started(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_command", ["/nowhere/python"])
    with pytest.raises(ReaderFailed, match="not started"):
        list(child.ask({"do": "tell"}, b""))


def test_who_stops_listening_ends_it(child: Child) -> None:
    asking = child.ask({"do": "tell", "times": 5}, b"")
    pid = next(asking)["pid"]
    asking.close()
    assert one(child.ask({"do": "tell"}, b""))["pid"] != pid


def test_closing_from_elsewhere_ends_the_wait(child: Child) -> None:
    threading.Timer(0.7, child.close).start()
    begin = time.monotonic()
    with pytest.raises(ReaderFailed):
        list(child.ask({"do": "hang"}, b""))
    assert time.monotonic() - begin < 3


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are told otherwise there")
def test_it_takes_what_others_leave(child: Child) -> None:
    pid = one(child.ask({"do": "tell"}, b""))["pid"]
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
