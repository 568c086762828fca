"""A child at the real edge: killed when it is late, replaced when it has died, alone with what breaks it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from so8t.core.child import Child
from so8t.core.errors import PackageMissing, SourceUnreadable

PROGRAM = """
import os, time
from so8t.core.child import serve
from so8t.core.errors import PackageMissing, SourceUnreadable

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
    for what, why in (("raise", "ValueError"), ("unreadable", "torn")):
        with pytest.raises(SourceUnreadable, match=why):
            list(child.ask({"do": what}, b""))
    with pytest.raises(SourceUnreadable, match="after one"):
        list(child.ask({"do": "half", "times": 2}, b""))
    assert one(child.ask({"do": "tell"}, b""))["pid"] == before["pid"]
    with pytest.raises(PackageMissing, match="eyes"):
        list(child.ask({"do": "missing"}, b""))
    assert list(child.ask({"do": "tell"}, b""))


def test_one_that_hangs_is_killed_and_replaced(child: Child) -> None:
    begin = time.monotonic()
    with pytest.raises(SourceUnreadable, match="> 3 s"):
        list(child.ask({"do": "hang"}, b""))
    assert time.monotonic() - begin < 10
    assert one(child.ask({"do": "tell"}, b"after"))["size"] == 5


def test_one_that_dies_is_replaced(child: Child) -> None:
    with pytest.raises(SourceUnreadable, match="stopped"):
        list(child.ask({"do": "die"}, b""))
    assert list(child.ask({"do": "tell"}, b""))


def test_who_stops_listening_ends_it(child: Child) -> None:
    asking = child.ask({"do": "tell", "times": 5}, b"")
    pid = next(asking)["pid"]
    asking.close()
    assert one(child.ask({"do": "tell"}, b""))["pid"] != pid


def test_closing_from_elsewhere_ends_the_wait(child: Child) -> None:
    threading.Timer(0.7, child.close).start()
    begin = time.monotonic()
    with pytest.raises(SourceUnreadable):
        list(child.ask({"do": "hang"}, b""))
    assert time.monotonic() - begin < 3


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are told otherwise there")
def test_it_takes_what_others_leave(child: Child) -> None:
    import os

    pid = one(child.ask({"do": "tell"}, b""))["pid"]
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
