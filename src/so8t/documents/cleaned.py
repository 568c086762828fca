"""The Document of a file that is one: office, PDF, mail, HTML."""

from __future__ import annotations

from so8t.core.text import clean
from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason

CELLS = " | "  # between the cells of a table's row


def cleaned(text: str, place: str, title: str, limits: Limits, around: str = "") -> Document | Skipped:
    """Without control characters and in NFC, or why there is none."""
    text = clean(text)
    if not text:
        return Skipped(place, Reason.NO_TEXT)
    if len(text) > limits.document_characters:
        return Skipped(place, Reason.LONG_DOCUMENT, f"> {limits.document_characters} characters")
    return Document(text, place, title=clean(title), around=clean(around))
