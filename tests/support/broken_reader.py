"""A real process where the reader of images and recordings would be, that fails in the way it is told to."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from so8t.core.child import Child, serve
from so8t.core.errors import SenseUnusable

WAYS = {"killed": "it stopped (-9)", "hangs": "> 1 s", "memory": "MemoryError", "weights": "SHA-256"}


def broken(way: str, patch: pytest.MonkeyPatch) -> Child:
    """To be put in the place of another one's child."""
    patch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return Child("broken_reader", (way,), seconds=1.0 if way == "hangs" else 60.0)


def _answers(head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
    way = sys.argv[1]
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "hangs":
        time.sleep(60)
    if way == "memory":
        raise MemoryError
    raise SenseUnusable(where="/srv/models/model.onnx", detail="SHA-256")
    yield {}


if __name__ == "__main__":
    serve(_answers)
