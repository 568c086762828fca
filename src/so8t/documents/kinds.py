"""Which files can be read: the kind and the packing that a name promises, and whether the first bytes keep it."""

from __future__ import annotations

import re
from enum import StrEnum

from so8t.documents.unreadable import Reason, Unreadable


class Kind(StrEnum):
    TEXT = "text"
    LINES = "JSON lines"
    JSON = "JSON"
    DUMP = "wiki dump"
    EXTRACT = "WikiExtractor"
    PARQUET = "parquet"
    WORD = "docx"
    SHEET = "xlsx"
    SLIDES = "pptx"
    PDF = "PDF"
    MAIL = "mail"
    HTML = "HTML"
    IMAGE = "image"


class Packing(StrEnum):
    """How a file is compressed."""

    NONE = ""
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTANDARD = "zstandard"


KINDS = {
    ".txt": Kind.TEXT, ".text": Kind.TEXT, ".md": Kind.TEXT,
    ".jsonl": Kind.LINES, ".ndjson": Kind.LINES, ".json": Kind.JSON,
    ".xml": Kind.DUMP, ".parquet": Kind.PARQUET,
    ".docx": Kind.WORD, ".xlsx": Kind.SHEET, ".pptx": Kind.SLIDES, ".pdf": Kind.PDF,
    ".eml": Kind.MAIL, ".html": Kind.HTML, ".htm": Kind.HTML, ".xhtml": Kind.HTML,
}  # fmt: skip
# Read only by who has asked for OCR: a folder of texts is full of pictures that are none.
IMAGES = dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"), Kind.IMAGE)
PACKINGS = {".gz": Packing.GZIP, ".bz2": Packing.BZIP2, ".xz": Packing.XZ, ".zst": Packing.ZSTANDARD}
# These have their own compression, or need to be read from any position.
NEVER_PACKED = {Kind.PARQUET, Kind.WORD, Kind.SHEET, Kind.SLIDES, Kind.PDF, Kind.IMAGE}
WIKI_EXTRACTOR = re.compile(r"wiki_\d+")  # its files have no suffix: AA/wiki_00
LOCK_FILE = "~$"  # what Office leaves beside an open document: its name, but not its content

MAGIC = {
    b"\x1f\x8b": Packing.GZIP,
    b"BZh": Packing.BZIP2,
    b"\xfd7zXZ\x00": Packing.XZ,
    b"\x28\xb5\x2f\xfd": Packing.ZSTANDARD,
}
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a zstandard file may begin with a frame of no data (RFC 8878)
_ZIP, _OLE, _PDF, _PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-", b"PAR1"
_FOREIGN = {_ZIP: "ZIP", _OLE: "old Office", _PDF: "PDF", _PARQUET: "parquet", **{m: p.value for m, p in MAGIC.items()}}
_EXPECTED = {Kind.PARQUET: _PARQUET, Kind.WORD: _ZIP, Kind.SHEET: _ZIP, Kind.SLIDES: _ZIP}
HEAD_BYTES = 1024  # a PDF's mark may stand anywhere in these


def kind_of(name: str, *, images: bool = False) -> tuple[Kind, Packing] | None:
    """Kind and packing by a file's name, upper or lower case; None for what cannot be read. `images`: by OCR too."""
    stem, dot, suffix = name.lower().rpartition(".")
    packing = PACKINGS.get(dot + suffix, Packing.NONE)
    if packing:
        name, (stem, dot, suffix) = stem, stem.rpartition(".")
    if WIKI_EXTRACTOR.fullmatch(name.lower()):
        return Kind.EXTRACT, packing
    kind = KINDS.get(dot + suffix) or (IMAGES.get(dot + suffix) if images else None)
    if kind is None or not stem or name.startswith(LOCK_FILE) or (packing and kind in NEVER_PACKED):
        return None
    return kind, packing


def packing_of(head: bytes) -> Packing:
    """What a file's first bytes say."""
    if _SKIPPABLE.match(head):
        return Packing.ZSTANDARD
    return next((packing for magic, packing in MAGIC.items() if head.startswith(magic)), Packing.NONE)


def check_packing(head: bytes, promised: Packing) -> None:
    """Raises Unreadable where the first bytes of a file are not packed as its name says."""
    found = packing_of(head)
    if head and found != promised:
        raise Unreadable(Reason.WRONG_KIND, f"{found or 'nothing packed'} where the name says {promised or 'plain'}")


def check_kind(head: bytes, kind: Kind) -> None:
    """Raises Unreadable where the first HEAD_BYTES of the unpacked content are of another kind, or encrypted."""
    if kind in (Kind.WORD, Kind.SHEET, Kind.SLIDES) and head.startswith(_OLE):
        raise Unreadable(Reason.ENCRYPTED, "or saved in the format from before 2007")
    expected = _EXPECTED.get(kind, b"")
    if expected and not head.startswith(expected):
        raise Unreadable(Reason.WRONG_KIND, f"no {kind}")
    if kind is Kind.PDF and _PDF not in head:
        raise Unreadable(Reason.WRONG_KIND, "no PDF")
    if not expected and kind is not Kind.PDF:
        foreign = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), "")
        if foreign:
            raise Unreadable(Reason.WRONG_KIND, f"{foreign} where the name says {kind}")
