"""One file through the rules: its first megabytes, and the members of a zip (also docx, xlsx, jar) within limits."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from so8t.operate.monitor.finding import Finding, Severity, said, said_path
from so8t.operate.monitor.rules import Rules, finding_of

MEMBERS = 1000
MEMBER_BYTES = 8 << 20
ALL_MEMBERS_BYTES = 64 << 20
DIRECTORY_BYTES = 1 << 20
END_BYTES = (1 << 16) + 100  # a comment of the longest, and the record before it
ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)


@dataclass(slots=True)
class Scan:
    """What became of one file. `bytes`: how much of it the rules read; `unread`: why not all, or ""."""

    findings: list[Finding] = field(default_factory=list)
    bytes: int = 0
    unread: str = ""


def scan_file(path: Path, rules: Rules, longest: int) -> Scan:
    """At most `longest` bytes of the file itself. A link, a pipe or what has gone is passed over."""
    found = Scan()
    try:
        with _opened(path) as f:
            head = f.read(longest)
            _one(found, rules, str(path), "", head)
            if head.startswith(b"PK\x03\x04"):
                _members(found, rules, str(path), f)
    except _Passed:
        return found
    except OSError as error:
        found.unread = found.unread or type(error).__name__
    return _told(found, path)


class _Passed(Exception):
    """No plain file, or none any more."""


def _opened(path: Path) -> BinaryIO:
    """Raises _Passed, OSError."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _Passed
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise _Passed from None
    opened = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        opened.close()
        raise _Passed
    return opened


def _one(found: Scan, rules: Rules, path: str, member: str, data: bytes) -> None:
    found.bytes += len(data)
    try:
        matches = rules.scan(data, f"{path}/{member}" if member else path)
    except (TimeoutError, ValueError) as error:
        found.unread = found.unread or (str(error) if isinstance(error, TimeoutError) else type(error).__name__)
        return
    if matches:
        found.findings.append(finding_of(path, member, matches))


def _members(found: Scan, rules: Rules, path: str, file: BinaryIO) -> None:
    if not _directory_fits(file):
        found.unread = found.unread or f"zip directory > {DIRECTORY_BYTES} bytes"
        return
    try:
        with zipfile.ZipFile(file) as archive:
            for name, content in _contents(found, archive):
                _one(found, rules, path, name, content)
    except BROKEN as error:
        found.unread = found.unread or f"zip: {type(error).__name__}"


def _directory_fits(file: BinaryIO) -> bool:
    """zipfile reads the whole list of members at once, so its length is looked at first, at every place that may be
    the end record, which gives it: in the old form, and in the zip64 form (which torch writes always)."""
    size = file.seek(0, os.SEEK_END)
    begin = file.seek(max(0, size - END_BYTES))
    tail = file.read(END_BYTES)
    for match in re.finditer(rb"PK\x05\x06", tail):
        at = begin + match.start()
        wide = _wide_sizes(file, at)
        told = int.from_bytes(_read(file, at + 12, 4), "little")
        if any(length > DIRECTORY_BYTES for length in wide or [told]):
            return False
    return True


def _wide_sizes(file: BinaryIO, end: int) -> list[int]:
    """What zip64 records say that belong to the end record at `end`: right before it, and where it says they are."""
    locator = _read(file, end - 20, 20)
    if not locator.startswith(b"PK\x06\x07"):
        return []
    places = (end - 20 - 56, int.from_bytes(locator[8:16], "little"))
    records = [_read(file, place, 56) for place in places if place < end]
    return [int.from_bytes(record[40:48], "little") for record in records if record.startswith(b"PK\x06\x06")]


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    if at < 0:
        return b""
    file.seek(at)
    return file.read(length)


def _contents(found: Scan, archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """(name, its first MEMBER_BYTES) whatever sizes the archive claims. An archive in the archive is one member."""
    left, members = ALL_MEMBERS_BYTES, [one for one in archive.infolist() if not one.is_dir()]
    if len(members) > MEMBERS:
        found.unread = f"zip > {MEMBERS} members"
    for one in members[:MEMBERS]:
        if one.flag_bits & ENCRYPTED:
            found.unread = found.unread or "zip: encrypted"
            continue
        try:
            with archive.open(one) as f:
                content = f.read(min(MEMBER_BYTES, left))
        except BROKEN as error:
            found.unread = found.unread or f"zip: {type(error).__name__}"
            continue
        if len(content) == min(MEMBER_BYTES, left) and one.file_size > len(content):
            found.unread = found.unread or f"zip member > {len(content)} bytes"
        left -= len(content)
        yield one.filename, content
        if left <= 0:
            return


def _told(found: Scan, path: Path) -> Scan:
    if found.unread:
        facts = {"why": said(found.unread)}
        found.findings.append(Finding("file_unread", Severity.INFO, said_path(str(path)), facts))
    return found
