"""New and changed files below the named folders, through the rules: told by the system, and by a look at everything
now and then. A few at a time, so that a full disk neither holds up the watch nor fills the memory.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor.finding import Finding
from so8t.operate.monitor.rules import Rules
from so8t.operate.monitor.scan import scan_file
from so8t.operate.search.changes import Changes
from so8t.operate.walk import walk

FILES_A_LOOK, BYTES_A_LOOK = 100, 64 << 20
WALKED_A_LOOK = 5000
MOST_KNOWN = 500_000  # files whose state is remembered; beyond, some are searched again
MOST_WAITING = 100_000
Stamp = tuple[int, int, int, int]


class Notices(Protocol):
    """operate/search/changes.py, or a test's own."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def take(self) -> tuple[set[Path], bool]: ...


@dataclass(slots=True)
class Files:
    """`longest`: bytes of a file that are searched; `notified` makes the system's notices. `searched`, `bytes`: since
    the start; `problem`: why there are no notices, or ""."""

    folders: Sequence[Path]
    rules: Rules
    longest: int
    rescan_seconds: float
    clock: Callable[[], float] = time.monotonic
    notified: Callable[[Sequence[Path]], Notices] = Changes
    searched: int = 0
    bytes: int = 0
    problem: str = ""
    _notices: Notices | None = field(default=None, repr=False)
    _known: dict[Path, Stamp] = field(default_factory=dict, repr=False)
    _waiting: dict[Path, None] = field(default_factory=dict, repr=False)
    _walk: Iterator[Path] | None = field(default=None, repr=False)
    _due: float = field(default=float("-inf"), repr=False)
    _begun: bool = field(default=False, repr=False)

    def start(self) -> None:
        """From here on the system tells of changes, and everything is looked through once for what came before. Where
        it has no notices to give, the rescan still sees everything."""
        notices = self.notified(self.folders)
        try:
            notices.start()
        except OSError as error:
            self.problem = type(error).__name__
            return
        self._notices, self.problem, self._due = notices, "", float("-inf")

    def stop(self) -> None:
        if self._notices is not None:
            self._notices.stop()
            self._notices = None

    @property
    def busy(self) -> bool:
        """Whether something is still to be searched."""
        return bool(self._waiting) or self._walk is not None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def look(self) -> list[Finding]:
        """Search what waits, within the limits of a look."""
        found: list[Finding] = [] if self._begun else list(self.rules.broken)
        self._begun = True
        self._gather()
        files = size = 0
        while self._waiting and files < FILES_A_LOOK and size < BYTES_A_LOOK:
            path = next(iter(self._waiting))
            del self._waiting[path]
            if (stamp := self._new(path)) is None:
                continue
            scan = scan_file(path, self.rules, self.longest)
            found += scan.findings
            files, size = files + 1, size + scan.bytes
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[path] = stamp
        self.searched, self.bytes = self.searched + files, self.bytes + size
        return found

    def _gather(self) -> None:
        """What the system told of, then the next part of the walk through everything."""
        told, everything = self._notices.take() if self._notices else (set[Path](), False)
        if len(self._waiting) + len(told) <= MOST_WAITING:
            self._waiting |= dict.fromkeys(sorted(told))
        else:
            everything = True
        if everything:  # a walk that is under way goes on: who changes files all the time must not start it anew
            self._due = float("-inf")
        if self._walk is None and self.clock() >= self._due:
            self._walk, self._due = map(Path, walk(self.folders)), self.clock() + self.rescan_seconds
        for _ in range(WALKED_A_LOOK):
            if self._walk is None or len(self._waiting) >= 10 * FILES_A_LOOK:
                return
            if (path := next(self._walk, None)) is None:
                self._walk = None
            elif self._new(path) is not None:
                self._waiting[path] = None

    def _new(self, path: Path) -> Stamp | None:
        """Its state, where it is a plain file that was not searched as it is now."""
        try:
            found = path.lstat()
        except (OSError, ValueError):
            self._known.pop(path, None)
            return None
        if not stat.S_ISREG(found.st_mode) or not any(path.is_relative_to(folder) for folder in self.folders):
            return None
        stamp = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
        return None if self._known.get(path) == stamp else stamp


def folders_of(names: Sequence[str]) -> list[Path]:
    """Raises ConfigValueInvalid for one that is not there."""
    found = []
    for name in names:
        path = Path(name).expanduser()
        if not name or not path.is_dir():
            raise ConfigValueInvalid(where="serve.monitor.folders", detail=f"{name!r:.200}: not a folder")
        found.append(path.resolve())
    return found
