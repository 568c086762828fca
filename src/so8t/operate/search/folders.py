"""Which folders are searched, and how secret what lies in them is: the highest of folder, file name and marking."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.decide.clearance import classification_from_markers
from so8t.decide.heading import level_alone, level_named
from so8t.decide.image_text import level_on
from so8t.decide.policy import Policy
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.ocr_process import ocr_missing
from so8t.operate.search.store import Part
from so8t.operate.walk import walk

READING = 2  # how levels are read; another number has every file looked at anew
WITH_PAGES = (Kind.IMAGE, Kind.PDF, Kind.MAIL)  # read anew once OCR is there
# Never searched: what office programs and systems leave beside the files.
LEFT_OUT = ("~$*", ".*", "Thumbs.db", "desktop.ini", "*.tmp")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the configuration with its level as a rank. `images`: pictures are files of it too."""

    name: str
    path: Path
    level: int
    files: tuple[tuple[str, int], ...]

    images: bool = False

    def terms(self, path: Path) -> str:
        """What, besides the text, decides on the level of a file: when it changes, the file is looked at anew."""
        kind = (kind_of(path.name, images=True) or (None,))[0]
        return f"{self.level}:{self._by_name(path)}{':ocr' if self.images and kind in WITH_PAGES else ''}"

    def level_of(
        self, path: Path, parts: Sequence[Part], policy: Policy, *, illegible: bool = False, around: str = ""
    ) -> int:
        """The rank of a file with these parts, and with `around` printed on its pages. A level that stands alone over
        or under a page, or in a name, is a marking too, of what OCR read wherever it stands. Where a page was read
        badly or not at all (`illegible`), its marking may have been lost: the policy says how many levels higher the
        file then lies.
        """
        named = level_named(path.relative_to(self.path).parts, policy)
        printed = classification_from_markers(around, policy), level_alone(around, policy, anywhere=True)
        told = [named, *printed, *(level for part in parts for level in _marked(part, policy))]
        found = [self.level, self._by_name(path), *(policy.levels.rank(level) for level in told if level)]
        confidences = [part.confidence for part in parts if part.confidence is not None]
        if illegible or any(map(policy.reading.doubts, confidences)):
            return min(max(found) + policy.reading.raise_levels, len(policy.levels.names) - 1)
        return max(found)

    def _readable(self, name: str) -> bool:
        return kind_of(name, images=self.images) is not None

    def _by_name(self, path: Path) -> int:
        relative = path.relative_to(self.path).as_posix()
        fitting = (
            level for glob, level in self.files if fnmatch.fnmatch(relative, glob) or fnmatch.fnmatch(path.name, glob)
        )
        return max(fitting, default=0)

    def at(self, path: Path) -> os.stat_result | None:
        """One file as `walk` would find it; None for what it would pass over, or what has gone."""
        if not path.is_relative_to(self.path) or not self._readable(path.name):
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
        """Every file of a kind that can be read; links are not followed."""
        for entry in walk([self.path], _left_out):
            if self._readable(entry.name):
                with suppress(OSError):  # gone meanwhile
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


def _marked(part: Part, policy: Policy) -> tuple[str | None, ...]:
    read = part.confidence is not None
    stamped = level_on(part.text, policy.levels.names) if read else None
    return classification_from_markers(part.text, policy), level_alone(part.text, policy, anywhere=read), stamped


def _left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, glob) for glob in LEFT_OUT)


def reads_images(config: SearchConfig) -> bool:
    """OCR is wanted and is there."""
    return config.ocr and not ocr_missing()


def folders_of(config: SearchConfig, policy: Policy) -> list[Folder]:
    """Raises ConfigValueInvalid for a folder that is not there, a level nobody defined, or two of one name."""
    images = reads_images(config)
    found = [_folder(one, number, policy, images) for number, one in enumerate(config.folders, 1)]
    for first, second in zip(
        sorted(found, key=lambda f: f.name), sorted(found, key=lambda f: f.name)[1:], strict=False
    ):
        if first.name == second.name:
            raise ConfigValueInvalid(where="serve.search.folders", detail=f"name = {first.name!r} twice")
    return found


def _folder(one: SearchFolder, number: int, policy: Policy, images: bool) -> Folder:
    where, path = f"serve.search.folders[{number}]", Path(one.path).expanduser()
    if not one.path or not path.is_dir():
        raise ConfigValueInvalid(where=where, detail=f"path = {one.path!r}")
    levels = policy.levels.names
    for level in (one.classification, *(level for _, level in one.files)):
        if level not in levels:
            raise ConfigValueInvalid(where=where, detail=f"{level!r} ({' < '.join(levels)})")
    files = tuple((glob, levels.index(level)) for glob, level in one.files)
    resolved = path.resolve()
    return Folder(one.name or resolved.name, resolved, levels.index(one.classification), files, images)


def policy_mark(policy: Policy) -> str:
    """Changes when the markings do, or what a doubtful reading means, so that every file is looked at anew."""
    told = "\n".join(f"{m.pattern.source}\t{m.level}" for m in policy.markers) + f"\n{policy.reading}\n{READING}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]
