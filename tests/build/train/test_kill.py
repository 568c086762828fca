"""kill -9 at any moment, again and again, also in the middle of a save: the rest is as if nothing had happened.

The moments are counted in files opened, renamed and the like, not in seconds: what is on the disk changes only there,
and a busy machine hits the same ones.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import random
import signal
import sys
import threading
from collections.abc import Callable

import pytest

from so8t.build.train import checkpoint
from so8t.build.train.trainer import Trainer

from .training_case import FULL, rows, same

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here; `so8t selftest gpu` kills a process")
CONFIG = dataclasses.replace(FULL, epochs=4.0)
ATTEMPTS = 12
AT_ONCE, SOON = 0.0, 0.004  # how many seconds after the event: before it, or while its bytes are on their way


def in_a_child(made: Trainer, event: int | None, delay: float = AT_ONCE) -> int | None:
    """Train, and die `delay` seconds after the disk's `event`th; the number of events, or None for one who died."""
    counted = mmap.mmap(-1, 8)
    child = os.fork()
    if not child:
        code = 1
        try:
            sys.addaudithook(_reaper(counted, event, delay))
            made.run()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return None
    assert os.WEXITSTATUS(status) == 0
    return int.from_bytes(counted[:8], "little")


def _reaper(counted: mmap.mmap, event: int | None, delay: float) -> Callable[[str, object], None]:
    """An audit hook that counts what is done to files, whichever thread does it."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, _: object) -> None:
        if name != "open" and not name.startswith(("os.", "shutil.")):
            return
        number = int.from_bytes(counted[:8], "little") + 1
        counted[:8] = number.to_bytes(8, "little")
        if number == event:
            threading.Timer(delay, die).start() if delay else die()

    return hook


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_random_moments(build: Callable[..., Trainer], seed: int) -> None:
    generator = random.Random(seed)
    whole = build(CONFIG, rows(13), "whole")
    facts = whole.run()
    events = in_a_child(build(CONFIG, rows(13), "counted"), None)
    assert events
    kills, reached = 0, []
    for _ in range(ATTEMPTS):
        event, delay = int(events * generator.uniform(0.1, 0.4)), generator.choice([AT_ONCE, SOON])
        kills += in_a_child(build(CONFIG, rows(13), "parts"), event, delay) is None
        found = checkpoint.folders(build(CONFIG, rows(13), "parts").work)
        reached.append(int(found[-1].name[-8:]) if found else 0)
    assert kills >= 2 and len(set(reached)) >= 2  # it was killed at different places
    assert reached == sorted(reached)  # nothing that was saved is lost
    resumed = build(CONFIG, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)
