"""What a client may send along: an image or a PDF, in the message itself. Nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.documents.scans import Packed

PDF = "application/pdf"
_DATA = re.compile(r"data:([a-z]+/[a-z0-9.+-]{1,60})((?:;[a-z-]+=[^;,]{1,40})*);base64,", re.IGNORECASE)
# The first bytes say what a file is; a client's word for it is not relied on.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"), (b"BM", "image/bmp"), (b"%PDF-", PDF),
)  # fmt: skip
LONGEST_NAME = 80
LONGEST = 128 << 20  # characters of base64, however large a body the configuration allows


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came. media_type: by its first bytes; name: as the client calls it, or ""."""

    media_type: str
    content: bytes = field(repr=False)
    name: str = ""

    @property
    def packed(self) -> Packed:
        return packed_as(self.media_type)


def packed_as(media_type: str) -> Packed:
    return "pdf" if media_type == PDF else "image"


def upload(content: bytes, where: str, name: str = "") -> Upload:
    """Raises RecordInvalid for what is neither an image we read nor a PDF."""
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), "")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise RecordInvalid(where=where, detail="PNG, JPEG, TIFF, BMP, WEBP or PDF expected")
    shown = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return Upload(kind, content, shown[:LONGEST_NAME])


def from_base64(text: object, where: str, name: str = "") -> Upload:
    """Raises RecordInvalid."""
    return upload(decoded(text, where), where, name)


def from_data_url(url: object, where: str, name: str = "") -> Upload:
    """Raises RecordInvalid for anything but a data: URL in base64."""
    return from_base64(_in_data_url(url, where), where, name)


def content_of(value: object, where: str) -> bytes:
    """Of a file of whatever kind, in base64, alone or in a data: URL. Raises RecordInvalid."""
    is_url = isinstance(value, str) and value[:5].lower() == "data:"
    return decoded(_in_data_url(value, where) if is_url else value, where)


def decoded(text: object, where: str) -> bytes:
    """What base64 stands for (RFC 4648, without line breaks). Raises RecordInvalid."""
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
        raise RecordInvalid(where=where, detail=f"base64 of at most {LONGEST} characters expected")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RecordInvalid(where=where, detail="base64 expected; nothing is fetched") from None


def _in_data_url(url: object, where: str) -> str:
    """The base64 of a data: URL (RFC 2397). Raises RecordInvalid for any other: no address is ever followed."""
    found = _DATA.match(url) if isinstance(url, str) else None
    if found is None or not isinstance(url, str):
        raise RecordInvalid(where=where, detail="a data:...;base64, URL expected; nothing is fetched")
    return url[found.end() :]


def from_part(part: dict[str, Any], where: str) -> Upload | None:
    """OpenAI's content parts image_url and file; None for another kind of part. Raises RecordInvalid."""
    inner = part.get(str(part.get("type")))
    if part.get("type") == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else None
        return from_data_url(url, f"{where}.image_url.url")
    if part.get("type") == "file":
        told = inner if isinstance(inner, dict) else {}
        name = told.get("filename") or ""
        return from_data_url(told.get("file_data"), f"{where}.file.file_data", name if isinstance(name, str) else "")
    return None
