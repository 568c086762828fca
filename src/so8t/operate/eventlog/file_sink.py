"""Events as lines of JSON in a file: appended, synced, on another disk or a mounted share if it is to prove a thing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from so8t.core.types import canonical_json
from so8t.operate.eventlog.event import Event


class FileSink:
    """Appends to `path`, which is made with mode 0600. A file that was moved away (rotation) is made anew."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, events: Sequence[Event]) -> None:
        """All of them, on the disk. Raises OSError; then none of these lines stays."""
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            before = os.fstat(handle).st_size
            try:
                _write_all(handle, _mended(handle, before) + b"".join(map(_line, events)))
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)

    def close(self) -> None:
        """Nothing is open between two writes."""


def _line(event: Event) -> bytes:
    """`message` is what so8t ledger verify --events reads, as in every other log."""
    return canonical_json(event.fields() | {"message": event.message}).encode() + b"\n"


def _mended(handle: int, size: int) -> bytes:
    """A newline after what a power cut left half-written."""
    if size == 0:
        return b""
    os.lseek(handle, size - 1, os.SEEK_SET)
    return b"" if os.read(handle, 1) == b"\n" else b"\n"


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]
