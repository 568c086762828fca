"""Which files a source means: a file, a folder with all below it, a glob, or a list of these."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from so8t.core.errors import SourceMissing, SourceUnreadable
from so8t.documents.document import Skipped
from so8t.documents.encoding import text_lines
from so8t.documents.kinds import Packing, kind_of
from so8t.documents.limits import Limits
from so8t.documents.streams import blocks
from so8t.documents.unreadable import Reason, Unreadable

Found = Path | Skipped
LIST = "@"
_LIST_LIMITS = Limits(stream_bytes=64 << 20, record_bytes=1 << 16)
_WILD = re.compile(r"[*?\[]")


def find(spec: str) -> tuple[list[Path], list[Skipped]]:
    """The readable files of a file, a folder, a glob ("data/**/*.docx") or a list ("@list.txt": a file, folder or glob
    a line, # for comments, relative to the list's folder), each once, in the list's order and sorted within.

    Links to folders are not followed, so that a loop of them ends. Raises SourceMissing where the spec itself names
    nothing, SourceUnreadable for a list that cannot be read.
    """
    found = _of_list(Path(spec[1:]).expanduser()) if spec.startswith(LIST) else _of_path(Path(spec).expanduser())
    items = list(dict.fromkeys(found))
    if not items and not os.path.isdir(Path(spec).expanduser()) and not spec.startswith(LIST):
        raise SourceMissing(where=spec)
    return [i for i in items if isinstance(i, Path)], [i for i in items if isinstance(i, Skipped)]


def _of_list(path: Path) -> Iterator[Found]:
    if not path.exists():
        raise SourceMissing(where=path)
    if not path.is_file():
        raise SourceUnreadable(where=path, detail="no list of files")
    try:
        with path.open("rb") as source:
            rows = list(text_lines(blocks(source, Packing.NONE, _LIST_LIMITS), _LIST_LIMITS.record_bytes))
    except (OSError, Unreadable) as error:
        raise SourceUnreadable(where=path, detail=str(error)) from error
    for number, row in rows:
        if isinstance(row, Unreadable):
            yield Skipped(f"{path}:{number}", row.reason, row.detail)
        elif (entry := row.strip()) and not entry.startswith("#"):
            items = list(_of_path(path.parent / Path(entry).expanduser()))
            yield from items or [Skipped(f"{path}:{number}", Reason.NOT_FOUND, entry)]


def _of_path(path: Path) -> Iterator[Found]:
    """Nothing for a path that is not there and a glob that nothing matches."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if _WILD.search(str(path)):
            yield from _of_glob(path)
        elif os.path.islink(path) or isinstance(error, PermissionError):
            yield Skipped(str(path), Reason.NOT_READABLE, type(error).__name__)
        return
    except ValueError:  # a NUL in the name
        return
    if stat.S_ISDIR(mode):
        yield from sorted(_below(path), key=_name)
    else:
        yield _judged(path)


def _of_glob(path: Path) -> Iterator[Found]:
    """What matches, and which folders could not be searched for more."""
    fixed = next(i for i, part in enumerate(path.parts) if _WILD.search(part))
    start, pattern = Path(*path.parts[:fixed]), path.parts[fixed:]
    if not os.path.isdir(start):
        return
    for item in sorted(_below(start, None if "**" in pattern else len(pattern)), key=_name):
        names = _name(item).relative_to(start).parts
        unsearched = isinstance(item, Skipped) and item.reason is Reason.NOT_READABLE and os.path.isdir(item.place)
        if _matches(names, pattern) or unsearched:
            yield item


def _name(item: Found) -> Path:
    return item if isinstance(item, Path) else Path(item.place)


def _matches(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """As glob.glob: ** is any number of folders, also none; other wildcards stay within a name."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[i:], pattern[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatch(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _below(folder: Path, depth: int | None = None) -> Iterator[Found]:
    """Everything below a folder, `depth` levels of it. Iterative: a deep tree is only a deep tree."""
    waiting = [(folder, 1)]
    while waiting:
        here, level = waiting.pop()
        try:
            with os.scandir(here) as entries:
                inside = list(entries)
        except OSError as error:
            yield Skipped(str(here), Reason.NOT_READABLE, type(error).__name__)
            continue
        for entry in inside:
            path = here / entry.name
            if entry.name.startswith("."):
                yield Skipped(str(path), Reason.HIDDEN)
            elif entry.is_dir(follow_symlinks=False):
                if depth is None or level < depth:
                    waiting.append((path, level + 1))
            elif entry.is_symlink() and os.path.isdir(path):
                yield Skipped(str(path), Reason.LINK)
            else:
                yield _judged(path)


def _judged(path: Path) -> Found:
    """A file by its name and nature alone; what is in it is for `read`. No pipe or device is ever opened."""
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link to nothing or to itself
        return Skipped(str(path), Reason.NOT_READABLE, type(error).__name__)
    if not stat.S_ISREG(mode):
        return Skipped(str(path), Reason.NOT_FILE)
    return path if kind_of(path.name) else Skipped(str(path), Reason.UNKNOWN_KIND)
