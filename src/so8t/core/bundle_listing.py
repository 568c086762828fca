"""bundle.json and the folder around it as a stranger left them: bounded, unambiguous, nothing reaching outside.

A listed name is plain ASCII, so that no system, archive or eye can take it for another one.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from so8t.core.errors import BundleBroken

MAX_LISTING_BYTES = 2 << 20
MAX_FILES = 4096  # a bundle has some thirty
MAX_NAME = 200
MAX_DEPTH = 8
SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+-])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
# Windows opens these as devices, whatever the folder and the ending.
DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
REPARSE_POINT = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: junctions, which are no symbolic links to Python


def read_bounded(path: Path, limit: int) -> bytes:
    """A plain file of at most `limit` bytes. Raises BundleBroken for anything else, before reading it."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleBroken(where=path, detail="symbolic link" if stat.S_ISLNK(found.st_mode) else "not a file")
        with path.open("rb") as f:
            raw = f.read(limit + 1)
    except OSError as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise BundleBroken(where=path, detail=kind) from error
    if len(raw) > limit:
        raise BundleBroken(where=path, detail=f"> {limit} bytes")
    return raw


def parse_object(raw: bytes, where: Path) -> dict[str, Any]:
    """One JSON object that reads the same to every parser: no key twice, no NaN. Raises BundleBroken."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BundleBroken(where=where, detail=f"JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise BundleBroken(where=where, detail="not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _refuse(name: str) -> None:
    raise ValueError(name)


def parse_listing(raw: bytes, where: Path, taken: Iterable[str] = ()) -> dict[str, Any]:
    """The listing with its `files`: safe names -> SHA-256, none of them a `taken` one. Raises BundleBroken."""
    listing = parse_object(raw, where)
    files = listing.get("files")
    if not isinstance(files, dict) or not files:
        raise BundleBroken(where=where, detail="files")
    if len(files) > MAX_FILES:
        raise BundleBroken(where=where, detail=f"> {MAX_FILES} files")
    check_names([*taken, *files], where)
    for name, digest in files.items():
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            raise BundleBroken(where=where, detail=f"{name}: SHA-256")
    return listing


def check_names(names: Iterable[str], where: Path) -> None:
    """Raises BundleBroken for a name that is unsafe anywhere, or that some system takes for another one's."""
    folded: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        if not is_safe(name):
            raise BundleBroken(where=where, detail=f"unsafe name {name[:MAX_NAME]!a}")
        if name.lower() in folded:
            raise BundleBroken(where=where, detail=f"{name} and {folded[name.lower()]} are one file on some systems")
        folded[name.lower()] = name
        for parent in _parents(name):
            if folders.setdefault(parent.lower(), parent) != parent:
                raise BundleBroken(where=where, detail=f"{parent} and {folders[parent.lower()]} are one folder there")
    if both := sorted(folded.keys() & folders.keys()):
        raise BundleBroken(where=where, detail=f"{both[0]} is a file and a folder")


def is_safe(name: str) -> bool:
    """A relative POSIX path of plain names: no "..", drive, backslash, device, hidden file, trailing dot or space."""
    segments = name.split("/")
    return (
        0 < len(name) <= MAX_NAME
        and len(segments) <= MAX_DEPTH
        and all(SEGMENT.fullmatch(s) and s.split(".")[0].lower() not in DEVICES for s in segments)
    )


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def files_below(folder: Path) -> set[str]:
    """Relative POSIX paths of all files. Raises BundleBroken for links, pipes, devices, and for too many or too deep.

    Nothing is opened and no link is followed.
    """
    found: set[str] = set()
    waiting = [(folder, 1)]
    seen = 0
    while waiting:
        place, depth = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                seen += 1
                path = Path(entry.path)
                if seen > MAX_FILES + MAX_DEPTH or depth > MAX_DEPTH:
                    raise BundleBroken(where=folder, detail=f"> {MAX_FILES} files or {MAX_DEPTH} levels")
                if _is_link(entry):
                    raise BundleBroken(where=path, detail="symbolic link")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, depth + 1))
                elif entry.is_file(follow_symlinks=False):
                    found.add(path.relative_to(folder).as_posix())
                else:
                    raise BundleBroken(where=path, detail="not a file")
    return found


def _is_link(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        return True
    attributes: int = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & REPARSE_POINT)
