"""One file through the rules: its first megabytes, and the members of a zip (also docx, xlsx, jar) within limits."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from so8t.operate.monitor.finding import Finding, Severity, said, said_path
from so8t.operate.monitor.rules import Rules, finding_of

MEMBERS = 300
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
        data = _head(path, longest)
    except OSError as error:
        found.unread = type(error).__name__
        return _told(found, path)
    if data is None:
        return found
    whole = len(data) <= longest
    _one(found, rules, str(path), "", data[:longest])
    if data.startswith(b"PK\x03\x04"):
        if whole:
            _members(found, rules, str(path), data)
        else:
            found.unread = found.unread or f"zip > {longest} bytes"
    return _told(found, path)


def _head(path: Path, longest: int) -> bytes | None:
    """One byte more than `longest` where the file is longer; None for what is no plain file."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as f:
        return f.read(longest + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else None


def _one(found: Scan, rules: Rules, path: str, member: str, data: bytes) -> None:
    found.bytes += len(data)
    try:
        matches = rules.scan(data, f"{path}/{member}" if member else path)
    except (TimeoutError, ValueError) as error:
        found.unread = found.unread or (str(error) if isinstance(error, TimeoutError) else type(error).__name__)
        return
    if matches:
        found.findings.append(finding_of(path, member, matches))


def _members(found: Scan, rules: Rules, path: str, data: bytes) -> None:
    if not _directory_fits(data):
        found.unread = found.unread or f"zip directory > {DIRECTORY_BYTES} bytes"
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name, content in _contents(found, archive):
                _one(found, rules, path, name, content)
    except BROKEN as error:
        found.unread = found.unread or f"zip: {type(error).__name__}"


def _directory_fits(data: bytes) -> bool:
    """zipfile reads the whole list of members at once, so its length is looked at first: at every place that may be
    the end record, which gives it, and never in the zip64 form, which small archives do not need."""
    for found in re.finditer(rb"PK\x05\x06", data[-END_BYTES:]):
        at = max(0, len(data) - END_BYTES) + found.start()
        if int.from_bytes(data[at + 12 : at + 16], "little") > DIRECTORY_BYTES:
            return False
        if data[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
            return False
    return True


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
