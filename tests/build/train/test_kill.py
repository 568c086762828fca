"""kill -9 at any moment, again and again, also in the middle of a save: the rest is as if nothing had happened."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from so8t.build.train import checkpoint
from so8t.build.train.trainer import Trainer

from .training_case import FULL, rows, same

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here; `so8t selftest gpu` kills a process")
CONFIG = dataclasses.replace(FULL, epochs=4.0)


def killed_after(made: Trainer, seconds: float) -> bool:
    """Train in a child; True when it was killed before its end."""
    child = os.fork()
    if not child:
        code = 1
        try:
            made.run()
            code = 0
        finally:
            os._exit(code)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_random_moments(build: Callable[..., Trainer], seed: int) -> None:
    generator = random.Random(seed)
    begin = time.monotonic()
    whole = build(CONFIG, rows(13), "whole")
    facts = whole.run()
    usual = time.monotonic() - begin
    kills, reached = 0, []
    for _ in range(12):
        kills += killed_after(build(CONFIG, rows(13), "parts"), generator.uniform(0.05, 0.6) * usual)
        found = checkpoint.folders(build(CONFIG, rows(13), "parts").work)
        reached.append(int(found[-1].name[-8:]) if found else 0)
    assert kills >= 2 and len(set(reached)) >= 2  # it was killed at different places
    assert reached == sorted(reached)  # nothing that was saved is lost
    resumed = build(CONFIG, rows(13), "parts")
    same(resumed, whole, resumed.run(), facts)
