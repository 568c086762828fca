"""Office files are ZIP archives: what one may hold before any library opens it."""

from __future__ import annotations

import io
import zipfile
from typing import BinaryIO

from so8t.documents.limits import Limits
from so8t.documents.streams import RATIO_FROM
from so8t.documents.unreadable import Reason, Unreadable, library_errors
from so8t.documents.xml_safety import check_prolog

_ENTRY = b"PK\x01\x02"
_XML = (".xml", ".rels", ".vml")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that the standard allows (ISO/IEC 29500-2)
_ENCRYPTED = 1


def checked(content: bytes, limits: Limits) -> BinaryIO:
    """The archive to read from, its declared sizes within limits and true (zipfile reads no member beyond them), its
    XML unpacked once and without document types. Raises Unreadable."""
    if content.count(_ENTRY) > limits.members:
        raise Unreadable(Reason.TOO_MANY, f"> {limits.members} members")
    with library_errors(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        _check_sizes(members, len(content), limits)
        for member in members:
            if member.filename.lower().endswith(_XML):
                with library_errors():
                    data = archive.read(member)
                if data:
                    check_prolog(data)
    return io.BytesIO(content)


def _check_sizes(members: list[zipfile.ZipInfo], packed: int, limits: Limits) -> None:
    total = sum(m.file_size for m in members)
    if total > limits.archive_bytes or (total > RATIO_FROM and total > limits.ratio * packed):
        raise Unreadable(Reason.TOO_LARGE, f"{total} bytes unpacked")
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise Unreadable(Reason.ENCRYPTED, member.filename[:80])
        if member.compress_type not in _METHODS:
            raise Unreadable(Reason.DAMAGED, f"compression method {member.compress_type}")
        if member.filename.lower().endswith(_XML) and member.file_size > limits.member_bytes:
            raise Unreadable(Reason.TOO_LARGE, f"{member.filename[:80]}: {member.file_size} bytes")
