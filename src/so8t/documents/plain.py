"""Plain text: blank lines part it into documents, but never into single lines."""

from __future__ import annotations

from collections.abc import Iterator

from so8t.core.text import sentences
from so8t.documents.document import Document, Skipped
from so8t.documents.encoding import text_lines
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Unreadable

STANDS_ALONE = 80  # a paragraph of more characters, or of two sentences, is a document
GATHERED = 400  # shorter ones are put together until there are so many characters
HEADING = 80  # what is gathered before a paragraph and is no longer than this belongs to it


def plain(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Document | Skipped]:
    """Also CC-100's form, whose documents are parted by blank lines. Text stays as it stands in the file."""
    held, place = "", ""
    for item in _paragraphs(blocks, name, limits):
        if isinstance(item, Skipped):
            yield item
            continue
        if held and (len(held) > HEADING and _alone(item.text)):
            yield Document(held, place)
            held = ""
        place = place if held else item.place
        held = f"{held}\n\n{item.text}" if held else item.text
        if _alone(item.text) or len(held) >= GATHERED:
            yield Document(held, place)
            held = ""
    if held:
        yield Document(held, place)


def _alone(paragraph: str) -> bool:
    return len(paragraph) > STANDS_ALONE or len(sentences(paragraph)) >= 2


def _paragraphs(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Document | Skipped]:
    """Lines up to a blank one; one that would pass the longest document is cut at a line end, and nothing is lost."""
    rows: list[str] = []
    start, size = 1, 0
    for number, line in text_lines(blocks, limits.record_bytes):
        if isinstance(line, Unreadable):
            yield Skipped(f"{name}:{number}", line.reason, line.detail)
            continue
        blank = not line or line.isspace()
        if rows and (blank or size + len(line) > limits.document_characters):
            yield Document("\n".join(rows), f"{name}:{start}")
            rows, size = [], 0
        if not blank:
            start = start if rows else number
            rows.append(line)
            size += len(line) + 1
    if rows:
        yield Document("\n".join(rows), f"{name}:{start}")
