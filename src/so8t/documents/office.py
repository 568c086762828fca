"""Word, Excel and PowerPoint files (ISO/IEC 29500) -> text."""

from __future__ import annotations

import datetime
import io
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

from so8t.core.text import clean
from so8t.documents import margins
from so8t.documents.archive import checked
from so8t.documents.cleaned import CELLS, cleaned
from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable, library_errors

Item = Document | Skipped
# Deleted and moved text, field codes, readings above a word, page numbers, and what repeats the choice before it.
_LEFT_OUT = {"del", "moveFrom", "instrText", "delText", "Fallback", "rt", "fld"}
_BREAKS = {"br": "\n", "cr": "\n", "tab": "\t", "noBreakHyphen": "-"}


def word(content: bytes, name: str, limits: Limits) -> Iterator[Item]:
    """One Document: paragraphs and tables in their order, a table's row a line. Headers and footers lie around it."""
    source = checked(content, limits)
    with library_errors():
        from docx import Document as open_word

        document = open_word(source)
        text = "\n".join(_lines(document.element.body))
        title, around = document.core_properties.title or "", margins.of_word(document, _lines)
    yield cleaned(text, name, title, limits, around)


def slides(content: bytes, name: str, limits: Limits) -> Iterator[Item]:
    """One Document: each slide's text, then its notes; slides parted by a blank line."""
    source = checked(content, limits)
    with library_errors():
        from pptx import Presentation

        deck = Presentation(source)
        if len(deck.slides) > limits.pages:
            raise Unreadable(Reason.TOO_MANY, f"> {limits.pages} slides")
        pages = []
        for slide in deck.slides:
            rows = list(_lines(slide.element))
            if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
                rows += _lines(frame._txBody)
            pages.append("\n".join(rows))
        title, around = deck.core_properties.title or "", margins.of_slides(deck, _lines)
    yield cleaned("\n\n".join(p for p in pages if p), name, title, limits, around)


def sheets(content: bytes, name: str, limits: Limits) -> Iterator[Item]:
    """A Document a sheet with its values as last calculated; a row is a line, empty cells are left out."""
    source = checked(content, limits)
    with library_errors():
        import openpyxl

        # It warns of styles and validation that we do not read, and prints of styles that are not there.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(source, read_only=True, data_only=True, keep_links=False)
        around = margins.of_sheets(source)
    if len(book.worksheets) > limits.sheets:
        yield Skipped(name, Reason.TOO_MANY, f"> {limits.sheets} sheets")
    left = limits.cells
    for sheet in book.worksheets[: limits.sheets]:
        place = f"{name}:{clean(sheet.title)}"
        rows, seen, trouble = _rows(sheet, left)
        left -= seen
        if rows:
            yield cleaned("\n".join(rows), place, sheet.title, limits, around)
        if trouble:
            yield Skipped(place, trouble.reason, trouble.detail)


def _rows(sheet: Any, most: int) -> tuple[list[str], int, Unreadable | None]:
    """(lines, cells passed, what went wrong). Cells between two filled ones count: the library makes them, and a file
    of a hundred bytes may ask for a billion."""
    rows, seen = [], 0
    try:
        with library_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sheet.reset_dimensions()  # what the file says of its size is not to be trusted
            for row in sheet.iter_rows(values_only=True):
                seen += max(1, len(row))
                if seen > most:
                    raise Unreadable(Reason.TOO_MANY, "cells")
                line = CELLS.join(filter(None, map(_cell, row)))
                if line:
                    rows.append(line)
    except Unreadable as error:
        return rows, seen, error
    return rows, seen, None


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return " ".join(str(value).split())


def _lines(root: Any) -> Iterator[str]:
    """Text of WordprocessingML and DrawingML alike, whose elements have the same names: p, t, br, tab, tr, tc.

    A paragraph is a line, a table's row one with its cells side by side. Read as a walk, not by the libraries'
    properties, which leave out tracked insertions and content controls and follow a gridSpan of any size.
    """
    from lxml import etree

    walk = etree.iterwalk(root, events=("start", "end"))
    frames: list[list[str]] = [[]]  # lines of the document, of a row, of a cell within it ...
    text: list[list[str]] = []  # open paragraphs: a text box lies inside one
    for event, element in walk:
        tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        if event == "start":
            if tag in _LEFT_OUT:
                walk.skip_subtree()
            elif tag in ("tr", "tc"):
                frames.append([])
            elif tag == "p":
                text.append([])
        elif tag == "p" and text:
            if line := "".join(text.pop()).strip():
                frames[-1].append(line)
        elif tag in ("tr", "tc") and len(frames) > 1:
            inner = [" ".join(line.split()) for line in frames.pop()]
            frames[-1] += [(CELLS if tag == "tr" else " ").join(inner)] if inner else []
        elif text and tag in _BREAKS:
            text[-1].append(_BREAKS[tag])
        elif text and tag == "t" and element.text:
            text[-1].append(element.text)
    yield from frames[0]
