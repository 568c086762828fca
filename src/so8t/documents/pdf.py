"""PDF (ISO 32000) -> text, with the lines of a page put together to paragraphs again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from so8t.core.text import JAPANESE
from so8t.documents.cleaned import cleaned
from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.scans import PageReader, read_pages
from so8t.documents.unreadable import Reason, Unreadable, library_errors

# A line that ends so is the end of a paragraph or of a list's entry.
_ENDS = tuple("。．！？!?」』）)】:：;；.|")
# And one that begins so begins one: bullets, numbers of sections, articles of a rule.
_BEGINS = re.compile(
    r"[・●○◆◇■□▲▼※★→\-–—•*]|[(（]?[0-9０-９一二三四五六七八九十ア-ン]{1,3}[)）.．、]|[0-9０-９]+[.．][0-9０-９]"
    r"|第[0-9０-９一二三四五六七八九十百]+[章節条項編部]|[①-⑳]|[「『【]"
)
_SHORT = 0.6  # a line of less than this part of the page's usual length was ended by its writer
_MARGIN = 2  # lines at the top and at the bottom of a page that may be its header and footer
_REPEATS = 0.5  # share of the pages that must have the same one
_LEAST_PAGES = 3
_HEADER = 30  # in a line of more characters a number is part of a sentence
_NUMBER = re.compile(r"[0-9０-９]+")
_HYPHEN = "\ufffe"  # what pdfium makes of a hyphen that the end of a line brought
_PASSWORD = "password"
_FEW = 32  # characters of a page that is a picture all the same: what a scanner or a stamp program printed over it


def pdf(content: bytes, name: str, limits: Limits, ocr: PageReader | None = None) -> Iterator[Document | Skipped]:
    """One Document of all pages with text, paragraphs as lines, without a break between the pages; with `ocr` one more
    for each scanned page. Raises Unreadable for an encrypted one and, without `ocr`, one that is nothing but scanned.
    """
    pages, pictures = _pages(content, limits)
    scanned = [number for number, page in enumerate(pages, 1) if not page or (ocr is not None and number in pictures)]
    if ocr is not None:
        pages = [[] if number in scanned else page for number, page in enumerate(pages, 1)]
    if any(pages):
        yield _written(pages, name, limits)
    elif ocr is None or not pages:
        raise Unreadable(Reason.SCANNED if pages else Reason.NO_TEXT, f"{len(pages)} pages")
    if scanned and ocr is not None:
        yield from read_pages(content, "pdf", scanned, name, limits, ocr)
    elif scanned:
        yield Skipped(name, Reason.SCANNED, f"{len(scanned)} of {len(pages)} pages")


def _written(pages: list[list[str]], name: str, limits: Limits) -> Document | Skipped:
    lines = [line for page in _without_margins(pages) for line in _marked(page)]
    return cleaned("\n".join(_paragraphs(lines)), name, "", limits)


def _pages(content: bytes, limits: Limits) -> tuple[list[list[str]], set[int]]:
    """The lines of each page that are not blank, and the numbers of pages that are a picture with hardly any text."""
    with library_errors():
        import pypdfium2

        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            if _PASSWORD in str(error).lower():
                raise Unreadable(Reason.ENCRYPTED) from error
            raise
        with document:
            if len(document) > limits.pages:
                raise Unreadable(Reason.TOO_MANY, f"> {limits.pages} pages")
            pages, pictures, size = list[list[str]](), set[int](), 0
            for number in range(len(document)):
                text, picture = _page_text(document, number)
                if picture:
                    pictures.add(number + 1)
                size += len(text)
                if size > limits.document_characters:
                    raise Unreadable(Reason.LONG_DOCUMENT, f"> {limits.document_characters} characters")
                pages.append([row for line in text.splitlines() if (row := line.replace("\0", "").strip())])
    return pages, pictures


def _page_text(document: Any, number: int) -> tuple[str, bool]:
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            found = str(text.get_text_range(errors="replace")).replace("\ufffd", "")
            return found, len("".join(found.split())) < _FEW and _has_picture(page)
        finally:
            text.close()
    finally:
        page.close()


def _has_picture(page: Any) -> bool:
    import pypdfium2.raw

    return next(iter(page.get_objects(filter=(pypdfium2.raw.FPDF_PAGEOBJ_IMAGE,), max_depth=2)), None) is not None


def _without_margins(pages: list[list[str]]) -> list[list[str]]:
    """Without the lines from the edge inwards that stand on most pages, page numbers aside."""
    if len(pages) < _LEAST_PAGES:
        return pages
    edges = [{*map(_numberless, [*page[:_MARGIN], *page[-_MARGIN:]])} for page in pages]
    often = Counter(line for edge in edges for line in edge)
    repeated = {line for line, times in often.items() if times > _REPEATS * len(pages)}
    return [_without_footer(_without_footer(page, repeated)[::-1], repeated)[::-1] for page in pages]


def _without_footer(page: list[str], repeated: set[str]) -> list[str]:
    for _ in range(_MARGIN):
        if page and _numberless(page[-1]) in repeated:
            page = page[:-1]
    return page


def _numberless(line: str) -> str:
    line = "".join(line.split())
    return _NUMBER.sub("#", line) if len(line) <= _HEADER else line


def _marked(page: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it was ended by its writer and not by the margin."""
    usual = sorted(map(len, page))[int(0.9 * (len(page) - 1))] if page else 0
    for line in page:
        yield line, line.endswith(_ENDS) or len(line) < _SHORT * usual


def _paragraphs(lines: list[tuple[str, bool]]) -> Iterator[str]:
    """Japanese lines join without a space, others with one."""
    held: list[str] = []
    open_ = False
    for line, ended in lines:
        if held and open_ and not _BEGINS.match(line):
            last = held[-1]
            together = last.endswith(_HYPHEN) or JAPANESE.match(last[-1]) or JAPANESE.match(line[0])
            held = [*held[:-1], last.removesuffix(_HYPHEN), line if together else f" {line}"]
        else:
            if held:
                yield "".join(held)
            held = [line]
        open_ = not ended
    if held:
        yield "".join(held)
