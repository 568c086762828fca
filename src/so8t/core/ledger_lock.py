"""One process an anchor: a lock that the system drops when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from so8t.core.errors import LedgerBusy, LedgerUnavailable


def lock(path: Path) -> int:
    """The handle that holds it. Raises LedgerBusy when another process does, LedgerUnavailable."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if handle >= 0:
            os.close(handle)
        busy = isinstance(error, (BlockingIOError, PermissionError)) and handle >= 0
        if busy:
            raise LedgerBusy(where=path) from error
        raise LedgerUnavailable(where=path, detail=str(error)) from error
    return handle
