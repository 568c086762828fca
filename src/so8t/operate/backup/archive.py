"""The inside of a backup: a tar stream of plain files, written and read piece by piece.

Any tar lists it. Ours reads only what we write: regular files with plain relative names, each once, in their order.
Links, devices, folders, absolute or outward names and extended headers are not skipped but end the reading, whoever
made them; a size cannot lie, for nothing in a backup is compressed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from so8t.core.bundle_listing import is_safe
from so8t.core.errors import BackupBroken, SourceUnreadable

BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20
MAX_MEMBERS = 5000
USTAR_BYTES = 8 << 30  # the largest size that a classic header can state


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a backup; `pieces` must be used up before the next member is asked for."""

    name: str
    size: int
    pieces: Iterator[bytes]


def add(out: Writable, name: str, source: BinaryIO, size: int, advanced: Callable[[int], None]) -> None:
    """Exactly `size` bytes of a file under a name. Raises SourceUnreadable when it holds fewer."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    out.write(info.tobuf(tarfile.USTAR_FORMAT if size < USTAR_BYTES else tarfile.GNU_FORMAT))
    left = size
    while left:
        piece = source.read(min(PIECE, left))
        if not piece:
            raise SourceUnreadable(where=name, detail="it became shorter while it was copied")
        out.write(piece)
        left -= len(piece)
        advanced(len(piece))
    out.write(b"\0" * (-size % BLOCK))


def end(out: Writable) -> None:
    out.write(b"\0" * 2 * BLOCK)


def members(source: Readable, where: Path, most_bytes: int) -> Iterator[Member]:
    """All files, up to an end that is really the end. `most_bytes`: no file can be larger. Raises BackupBroken."""
    seen: set[str] = set()
    while (block := _exactly(source, BLOCK, where)) != b"\0" * BLOCK:
        name, size = _header(block, where)
        if not is_safe(name) or name.lower() in seen or len(seen) == MAX_MEMBERS or size > most_bytes:
            raise BackupBroken(where=where, detail=f"name, number or size of files: {name[:100]!a} {size}")
        seen.add(name.lower())
        yield Member(name, size, _pieces(source, size, where))
        if _exactly(source, -size % BLOCK, where).strip(b"\0"):
            raise BackupBroken(where=where, detail=f"{name}: padding")
    if _exactly(source, BLOCK, where).strip(b"\0") or source.read(1):
        raise BackupBroken(where=where, detail="something after the end")


def _header(block: bytes, where: Path) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise BackupBroken(where=where, detail=f"tar header: {type(error).__name__}") from None
    if info.type != tarfile.REGTYPE or info.linkname or info.size < 0:
        raise BackupBroken(where=where, detail=f"{info.name[:100]!a} is no plain file")
    return info.name, info.size


def _pieces(source: Readable, size: int, where: Path) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.read(min(PIECE, left))
        if not piece:
            raise BackupBroken(where=where, detail="it ends inside a file")
        left -= len(piece)
        yield piece


def _exactly(source: Readable, size: int, where: Path) -> bytes:
    return b"".join(_pieces(source, size, where))
