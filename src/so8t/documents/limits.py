"""How much one file may ask of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """A file that passes a limit is read up to there, and the rest is a Skipped that names the limit."""

    stream_bytes: int = 1 << 40  # decompressed, of a file that is read piece by piece
    ratio: int = 300  # decompressed bytes a compressed byte, over everything so far; text packs about 1:4
    whole_bytes: int = 256 << 20  # of a file that has to lie in memory: office, PDF, mail, HTML
    record_bytes: int = 4 << 20  # a line, a row, a wiki page
    document_characters: int = 2_000_000
    members: int = 10_000  # of an archive, images included
    member_bytes: int = 64 << 20  # decompressed, of one XML member
    archive_bytes: int = 512 << 20  # decompressed, of all members
    depth: int = 512  # of elements of XML and HTML
    page_characters: int = 16 << 20  # of HTML, markup included
    pages: int = 5_000  # of a PDF or of slides
    sheets: int = 200
    cells: int = 2_000_000  # of a workbook, empty ones that lie between included
    attachments: int = 100  # of a mail
    scanned_pages: int = 500  # of a file, read by OCR


DEFAULT = Limits()
