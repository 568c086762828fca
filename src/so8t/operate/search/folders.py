"""Which folders are searched, and how secret what lies in them is: the highest of folder, file name and marking."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.decide.clearance import classification_from_markers
from so8t.decide.policy import Policy
from so8t.documents.kinds import kind_of

# Never searched: what office programs and systems leave beside the files.
LEFT_OUT = ("~$*", ".*", "Thumbs.db", "desktop.ini", "*.tmp")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the configuration with its level as a rank."""

    name: str
    path: Path
    level: int
    files: tuple[tuple[str, int], ...]

    def terms(self, path: Path) -> str:
        """What, besides the text, decides on the level of a file: when it changes, the file is looked at anew."""
        return f"{self.level}:{self._by_name(path)}"

    def level_of(self, path: Path, text: str, policy: Policy) -> int:
        """The rank of a file with this text."""
        marked = classification_from_markers(text, policy)
        return max(self.level, self._by_name(path), policy.levels.rank(marked) if marked else 0)

    def _by_name(self, path: Path) -> int:
        relative = path.relative_to(self.path).as_posix()
        fitting = (
            level for glob, level in self.files if fnmatch.fnmatch(relative, glob) or fnmatch.fnmatch(path.name, glob)
        )
        return max(fitting, default=0)

    def at(self, path: Path) -> os.stat_result | None:
        """One file as `walk` would find it; None for what it would pass over, or what has gone."""
        if not path.is_relative_to(self.path) or not kind_of(path.name):
            return None
        if any(_left_out(part) for part in path.relative_to(self.path).parts):
            return None
        try:
            found = path.lstat()
            inside = path.parent.resolve() == path.parent  # no link on the way
        except OSError:
            return None
        return found if inside and stat.S_ISREG(found.st_mode) else None

    def walk(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file of a kind that can be read. Links are not followed; what cannot be listed is passed over."""
        waiting = [self.path]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    inside = sorted(entries, key=lambda e: e.name)
            except OSError:
                continue
            for entry in inside:
                if _left_out(entry.name):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False) and kind_of(entry.name):
                        yield Path(entry.path), entry.stat(follow_symlinks=False)
                except OSError:  # gone meanwhile
                    continue


def _left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, glob) for glob in LEFT_OUT)


def folders_of(config: SearchConfig, policy: Policy) -> list[Folder]:
    """Raises ConfigValueInvalid for a folder that is not there, a level nobody defined, or two of one name."""
    found = [_folder(one, number, policy) for number, one in enumerate(config.folders, 1)]
    for first, second in zip(
        sorted(found, key=lambda f: f.name), sorted(found, key=lambda f: f.name)[1:], strict=False
    ):
        if first.name == second.name:
            raise ConfigValueInvalid(where="serve.search.folders", detail=f"name = {first.name!r} twice")
    return found


def _folder(one: SearchFolder, number: int, policy: Policy) -> Folder:
    where, path = f"serve.search.folders[{number}]", Path(one.path).expanduser()
    if not one.path or not path.is_dir():
        raise ConfigValueInvalid(where=where, detail=f"path = {one.path!r}")
    levels = policy.levels.names
    for level in (one.classification, *(level for _, level in one.files)):
        if level not in levels:
            raise ConfigValueInvalid(where=where, detail=f"{level!r} ({' < '.join(levels)})")
    files = tuple((glob, levels.index(level)) for glob, level in one.files)
    resolved = path.resolve()
    return Folder(one.name or resolved.name, resolved, levels.index(one.classification), files)


def policy_mark(policy: Policy) -> str:
    """Changes when the markings do, so that every file is read for them anew."""
    told = "\n".join(f"{m.pattern.source}\t{m.level}" for m in policy.markers)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
