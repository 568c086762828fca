"""Ctrl-C and the system's request to end: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StoppedByUser(KeyboardInterrupt):
    """Ctrl-C was pressed; a checkpoint of the last whole step is on disk."""


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """First Ctrl-C (or SIGTERM) sets the event, so that the step in progress is saved; the second one interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in numbers}

    def handler(_number: int, _frame: Any) -> None:
        stop.set()
        for number in numbers:
            signal.signal(number, previous[number])

    for number in numbers:
        signal.signal(number, handler)
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, previous[number])
