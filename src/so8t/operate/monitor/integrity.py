"""The product's own files against the baseline, and the bundle's against the listing that was verified at the start.

Everything of the package is hashed at every look, and of the bundle what is small; of a large file (the model) only
when its size, time or inode moved. What this does not see: compiled Python in __pycache__, other packages of the
environment, and a disk that is written to below the file system.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from so8t.core.bundle import LISTING, SIGNATURE, Bundle
from so8t.core.files import sha256_file
from so8t.operate.monitor.finding import Facts, Finding, Severity, said_path

PACKAGE = Path(__file__).resolve().parents[2]  # so8t itself
LEFT_OUT = frozenset({"__pycache__"})
SMALL = 8 << 20
MOST_FILES = 20_000
SHOWN = 10
GONE = "?"
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Names, sorted."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)

    @property
    def facts(self) -> Facts:
        """How many, and the first by name."""
        names = [*self.changed, *self.missing, *self.added][:SHOWN]
        return {
            "changed": len(self.changed), "missing": len(self.missing), "added": len(self.added),
            "first": tuple(map(said_path, names)),
        }  # fmt: skip


def difference(known: Mapping[str, str], now: Mapping[str, str]) -> Difference:
    both = known.keys() & now.keys()
    return Difference(
        tuple(sorted(name for name in both if known[name] != now[name])),
        tuple(sorted(known.keys() - now.keys())),
        tuple(sorted(now.keys() - known.keys())),
    )


def package_hashes(root: Path = PACKAGE) -> dict[str, str]:
    """POSIX path -> SHA-256 of everything installed, "?" for what cannot be read. Links are named, not followed."""
    return {name: _hashed(root / name) for name in _below(root)}


def installed_version() -> str:
    try:
        return version("so8t")
    except PackageNotFoundError:
        return ""


def package_changed(known: Mapping[str, str], known_version: str, root: Path = PACKAGE) -> list[Finding]:
    """One finding for all of it. Nothing where there is no baseline yet."""
    if not known or not (found := difference(known, package_hashes(root))):
        return []
    facts = found.facts | {"baseline_version": known_version, "version": installed_version()}
    return [Finding("package_changed", Severity.CRITICAL, "so8t", facts)]


@dataclass(slots=True)
class BundleFiles:
    """A bundle that was verified when it was opened. `look` compares with what it was then."""

    bundle: Bundle
    _known: dict[str, str] = field(default_factory=dict, repr=False)
    _stamps: dict[str, tuple[Stamp | None, str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        folder = self.bundle.folder
        own = {name: sha256_file(folder / name) for name in (LISTING, SIGNATURE) if (folder / name).is_file()}
        self._known = dict(self.bundle.listing["files"]) | own
        for name, digest in self._known.items():
            self._stamps[name] = (_stamp(folder / name), digest)

    def look(self) -> list[Finding]:
        now = {name: self._hash(name) for name in _below(self.bundle.folder)}
        found = difference(self._known, now)
        facts = found.facts | {"payload_digest": self.bundle.payload_digest}
        return [Finding("bundle_changed", Severity.CRITICAL, "bundle", facts)] if found else []

    def _hash(self, name: str) -> str:
        path = self.bundle.folder / name
        stamp = _stamp(path)
        before, digest = self._stamps.get(name, (None, ""))
        if stamp is None or stamp != before or stamp[0] <= SMALL:
            digest = _hashed(path)
            if name in self._known:
                self._stamps[name] = (stamp, digest)
        return digest


def _below(root: Path) -> Iterator[str]:
    """Every file below a folder, at most MOST_FILES; a link is a file of its own."""
    count, waiting = 0, [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in LEFT_OUT:
                        waiting.append(Path(entry.path))
                elif (count := count + 1) <= MOST_FILES:
                    yield Path(entry.path).relative_to(root).as_posix()


def _hashed(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"-> {os.readlink(path)}"
        return sha256_file(path) if stat.S_ISREG(mode) else GONE  # a pipe would be waited for without end
    except OSError:
        return GONE


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
