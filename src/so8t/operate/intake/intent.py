"""What is about to be done to sealed files, written down before it is done.

Files are durable before the ledger's entry that names them, and go only after its texts were erased. Whoever is killed
in between leaves files that nobody needs; the note he leaves too says which (sweep.py). So no search through all files
and all entries is needed to find them, and nothing else is ever touched.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from so8t.core.files import write_bytes
from so8t.core.types import canonical_json

LARGEST = 1 << 20  # bytes of a note
_NAME = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.partial")


@dataclass(frozen=True, slots=True)
class Note:
    """The files that the entry of a request names, or will name."""

    request_id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Intents:
    """A note is called by the first of its files: no two entries share one."""

    folder: Path

    def begin(self, request_id: str, names: Sequence[str]) -> None:
        """Durable when it returns. Raises OSError, DiskFull."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(self.folder / names[0], canonical_json({"request_id": request_id, "names": list(names)}).encode())

    def end(self, names: Sequence[str]) -> None:
        """What was to be done is done."""
        if names:
            (self.folder / names[0]).unlink(missing_ok=True)

    def older_than(self, seconds: float, most: int) -> Iterator[Note]:
        """At most so many; what is no note of ours stays. Half-written ones of that age are removed: nothing was done
        after them.

        Ages are told by the clock of the disk, which several gateways share when they share the folder. Raises OSError.
        """
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        for path in list(islice(self._before(self._now() - seconds), most)):
            if path.suffix:
                path.unlink(missing_ok=True)
            elif (note := _read(path)) is not None:
                yield note

    def _before(self, moment: float) -> Iterator[Path]:
        with os.scandir(self.folder) as entries:
            for one in entries:
                with suppress(FileNotFoundError):  # another gateway sweeps too
                    told = one.stat(follow_symlinks=False)
                    if _OURS.fullmatch(one.name) and stat.S_ISREG(told.st_mode) and told.st_mtime < moment:
                        yield Path(one.path)

    def _now(self) -> float:
        with tempfile.TemporaryFile(dir=self.folder) as made:
            return os.fstat(made.fileno()).st_mtime


def _read(path: Path) -> Note | None:
    """None for one that is gone meanwhile, or none of ours."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as source:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        content = source.read(LARGEST + 1)
    if len(content) > LARGEST:
        return None
    try:
        told = json.loads(content)
        request_id, names = told["request_id"], told["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    sound = isinstance(request_id, str) and isinstance(names, list) and names and names[0] == path.name
    if not sound or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        return None
    return Note(request_id, tuple(names))
