"""What comes out of a file: texts, and what had to be passed over."""

from __future__ import annotations

from dataclasses import dataclass

from so8t.core.types import Domain


@dataclass(frozen=True, slots=True)
class Document:
    """A text and where it came from: `place` is the file's name with line, page or entry: notes.docx or a.jsonl:12.

    source, license and domain are what the file itself says of them, else empty: whoever reads it knows better.
    confidence: of OCR, 0..1; None for what lay there as text. page: from 1, of a page read by OCR. around: what is
    printed over and under every page, no part of the text (margins.py).
    """

    text: str
    place: str
    title: str = ""
    source: str = ""
    license: str = ""
    domain: Domain | None = None
    confidence: float | None = None
    page: int | None = None
    around: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be read: counted and named, never fatal, never silent. `reason` is a short English
    phrase from a fixed set, so that it can be counted; `detail` says more."""

    place: str
    reason: str
    detail: str = ""
