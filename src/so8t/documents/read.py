"""A file -> Documents and Skipped, whatever its kind (SPEC D1)."""

from __future__ import annotations

import dataclasses
import io
import stat
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from so8t.documents.columns import columns
from so8t.documents.document import Document, Skipped
from so8t.documents.hypertext import html
from so8t.documents.kinds import HEAD_BYTES, Kind, Packing, check_kind, check_packing, kind_of
from so8t.documents.limits import DEFAULT, Limits
from so8t.documents.mail import attachments, body, parsed
from so8t.documents.office import sheets, slides, word
from so8t.documents.pdf import pdf
from so8t.documents.plain import plain
from so8t.documents.records import json_lines, json_whole, wiki_extractor
from so8t.documents.scans import PageReader, read_image
from so8t.documents.streams import blocks, whole
from so8t.documents.unreadable import Reason, Unreadable
from so8t.documents.wiki_dump import wiki_dump

__all__ = ["Limits", "read"]

Item = Document | Skipped
# Readers of a stream: blocks, name, limits. Readers of what has to lie in memory: content, name, limits.
STREAMED: dict[Kind, Callable[[Iterator[bytes], str, Limits], Iterator[Item]]] = {
    Kind.TEXT: plain,
    Kind.LINES: json_lines,
    Kind.EXTRACT: wiki_extractor,
    Kind.DUMP: wiki_dump,
}
WHOLE: dict[Kind, Callable[[bytes, str, Limits], Iterator[Item]]] = {
    Kind.JSON: json_whole,
    Kind.WORD: word,
    Kind.SHEET: sheets,
    Kind.SLIDES: slides,
    Kind.HTML: html,
}


def read(path: Path, limits: Limits = DEFAULT, ocr: PageReader | None = None) -> Iterator[Item]:
    """What a file holds. Never raises for its content or for trouble in reading it: a broken file gives what could be
    read, then a Skipped; one that holds nothing gives a Skipped too. Raises PackageMissing.

    `ocr` reads images and the pages of a PDF that have no text; without it images are no kind of file at all.

    A Document's place begins with the file's name, a Skipped's with its path, since somebody will look for it.
    """
    empty = True
    try:
        for item in _items(path, limits, ocr):
            empty = False
            if type(item) is Skipped:
                yield dataclasses.replace(item, place=f"{path}{item.place.removeprefix(path.name)}")
            else:
                yield item
        if empty:
            raise Unreadable(Reason.NO_TEXT)
    except Unreadable as error:
        yield Skipped(str(path), error.reason, error.detail)
    except OSError as error:
        yield Skipped(str(path), Reason.NOT_READABLE, error.strerror or type(error).__name__)


def _items(path: Path, limits: Limits, ocr: PageReader | None) -> Iterator[Item]:
    known = kind_of(path.name, images=ocr is not None)
    if known is None:
        raise Unreadable(Reason.UNKNOWN_KIND, path.suffix)
    if "\0" in path.name:
        raise Unreadable(Reason.NOT_READABLE, "NUL in the name")
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise Unreadable(Reason.NOT_FILE)
    kind, packing = known
    with path.open("rb") as source:
        if kind is Kind.PARQUET:
            check_kind(source.read(HEAD_BYTES), kind)
            yield from columns(path, path.name, limits)
        else:
            yield from _opened(source, path.name, kind, packing, limits, ocr)


def _opened(
    source: BinaryIO, name: str, kind: Kind, packing: Packing, limits: Limits, ocr: PageReader | None
) -> Iterator[Item]:
    """An open file, or an attachment in memory."""
    check_packing(source.read(HEAD_BYTES), packing)
    source.seek(0)
    if kind in STREAMED:
        content = blocks(source, packing, limits)
        first = next(content, b"")
        check_kind(first[:HEAD_BYTES], kind)
        yield from STREAMED[kind](chain([first], content), name, limits)
        return
    data = whole(source, packing, limits)
    check_kind(data[:HEAD_BYTES], kind)
    if kind is Kind.MAIL:
        yield from _mail(data, name, limits, ocr)
    elif kind is Kind.PDF:
        yield from pdf(data, name, limits, ocr)
    elif kind is Kind.IMAGE:
        assert ocr is not None  # kind_of knows none without it
        yield from read_image(data, name, limits, ocr)
    else:
        yield from WHOLE[kind](data, name, limits)


def _mail(content: bytes, name: str, limits: Limits, ocr: PageReader | None) -> Iterator[Item]:
    """The mail's own text, then its attachments, each by its kind; one that is a mail itself is not opened further."""
    message = parsed(content)
    yield from _tried(body(message, name, limits), name)
    for attached, data in attachments(message, limits):
        place, known = f"{name}:{attached}", kind_of(attached, images=ocr is not None)
        if known is None or known[0] in (Kind.MAIL, Kind.PARQUET):
            yield Skipped(place, Reason.UNKNOWN_KIND, "attachment")
        else:
            yield from _tried(_opened(io.BytesIO(data), place, *known, limits, ocr), place)


def _tried(items: Iterator[Item], place: str) -> Iterator[Item]:
    """A part of a file, of which the rest is read even if this one cannot be."""
    try:
        yield from items
    except Unreadable as error:
        yield Skipped(place, error.reason, error.detail)
