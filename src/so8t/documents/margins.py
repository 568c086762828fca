"""What an office file prints around its text on every page: headers, footers, watermarks, master slides, shapes on a
sheet. No part of what the file says, so no reader of texts wants it; but it is where a level is stamped.
"""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

LONGEST = 4000  # characters of one file
TAIL = 64 << 10  # bytes at the end of a sheet, where its header and footer stand
BLOCK = 1 << 20
_SHEET, _DRAWING = re.compile(r"xl/worksheets/[^/]+\.xml"), re.compile(r"xl/drawings/[^/]+\.xml")
_PRINTED = re.compile(r"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>(.{0,2000}?)</", re.DOTALL)
_PLACE = re.compile(r"&[LCR]")
_CODE = re.compile(r"&(?:\"[^\"]*\"|K[0-9A-Fa-f]{6}|[0-9]+|.)")  # ECMA-376 Part 1, 18.3.1.46: fonts, sizes, numbers
_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


def of_word(document: Any, lines: Any) -> str:
    """Of a python-docx document: headers, footers, and the words that Word's watermarks are made of."""
    return _within(_word(document, lines))


def of_slides(deck: Any, lines: Any) -> str:
    """Of a python-pptx deck: what its masters and layouts put on every slide."""
    masters = list(deck.slide_masters)
    sheets = [*masters, *(layout for master in masters for layout in master.slide_layouts)]
    return _within(line for sheet in sheets for line in lines(sheet.element))


def of_sheets(source: BinaryIO) -> str:
    """Of an Excel archive: printed headers and footers, and the words of shapes drawn over the cells."""
    with zipfile.ZipFile(source) as archive:
        return _within(_sheets(archive))


def _word(document: Any, lines: Any) -> Iterator[str]:
    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(("/header", "/footer")):
            root = relation.target_part.element
            yield from lines(root)
            yield from (one.get("string", "") for one in root.iter("{urn:schemas-microsoft-com:vml}textpath"))


def _sheets(archive: zipfile.ZipFile) -> Iterator[str]:
    from lxml import etree

    for member in archive.infolist():
        if _SHEET.fullmatch(member.filename):
            for printed in _PRINTED.findall(_tail(archive, member)):
                yield from (_CODE.sub("", part) for part in _PLACE.split(html.unescape(printed)))
        elif _DRAWING.fullmatch(member.filename):
            root = etree.fromstring(archive.read(member), etree.XMLParser(resolve_entities=False, no_network=True))
            for paragraph in root.iter(f"{_TEXT}p"):
                yield "".join(text.text or "" for text in paragraph.iter(f"{_TEXT}t"))


def _tail(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    kept = b""
    with archive.open(member) as file:
        while block := file.read(BLOCK):
            kept = (kept + block)[-TAIL:]
    return kept.decode("utf-8", "replace")


def _within(lines: Iterable[str]) -> str:
    """Each line once, up to LONGEST characters."""
    kept, length = dict[str, None](), 0
    for line in lines:
        line = " ".join(line.split())
        if line and line not in kept:
            length += len(line) + 1
            if length > LONGEST:
                break
            kept[line] = None
    return "\n".join(kept)
