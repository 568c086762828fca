"""Pages that are pictures -> Documents with the confidence of what was read: images, and scanned pages of a PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from so8t.core.errors import PackageMissing, ReaderFailed, SourceUnreadable
from so8t.core.text import clean
from so8t.documents.document import Document, Skipped
from so8t.documents.images import MAXIMUM_SIDE, image_pages, is_blank
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable, library_errors

if TYPE_CHECKING:
    from PIL.Image import Image

    from so8t.documents.ocr import Ocr

DPI = 200  # what scanners write by default; OCR gains nothing from more (benchmarks/ocr_pages.py)
RENDERED_PIXELS = 16_000_000  # of a page of a PDF: A3 at 300 dpi; larger paper is rendered more coarsely
NO_VERTICAL = "no tesseract"  # in place of the engine's name
SMALL = 150_000  # pixels of a logo under a mail; a page at 100 dpi has six times as many
VERTICAL_HINT = "vertical: install tesseract with jpn_vert"
POINTS = 72  # an inch
Packed = Literal["image", "pdf"]


@dataclass(frozen=True, slots=True)
class PageReading:
    """What OCR read on one page. `blank`: nothing but paper, or too small
    for a page, so that no text is no doubt."""

    page: int
    text: str
    confidence: float
    engine: str
    blank: bool = False


class PageReader(Protocol):
    """Reads pages by OCR, here or in a process of its own (ocr_process.py)."""

    def pages(self, content: bytes, packed: Packed, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
        """These pages, from 1; None = all. Raises SourceUnreadable, ReaderFailed, PackageMissing, also after some
        pages."""
        ...


@dataclass(frozen=True, slots=True)
class HerePages:
    """In this process: for the command line and for the child that a server keeps."""

    ocr: Ocr

    def pages(
        self, content: bytes, packed: Packed, numbers: Sequence[int] | None = None, most: int | None = None
    ) -> Iterator[PageReading]:
        for number, grey in pictures(content, packed, numbers, most):
            if is_blank(grey):
                yield PageReading(number, "", 0.0, "", blank=True)
                continue
            try:
                found = self.ocr.read_grey(grey, f"page {number}")
            except PackageMissing:
                if not self.ocr.loaded:
                    raise
                # One vertical page must not keep all the others from being read; it counts as one nobody could read.
                yield PageReading(number, "", 0.0, NO_VERTICAL)
                continue
            decoration = not found.text and grey.width * grey.height < SMALL
            yield PageReading(number, found.text, found.confidence, found.engine, blank=decoration)


def pictures(
    content: bytes, packed: Packed, numbers: Sequence[int] | None = None, most: int | None = None
) -> Iterator[tuple[int, Image]]:
    """(number, grey pixels) of pages. Raises SourceUnreadable, also for more than `most` pages; PackageMissing."""
    if packed == "pdf":
        yield from _rendered(content, numbers, most)
        return
    for number, grey in enumerate(image_pages(content, "image", most), 1):
        if numbers is None or number in numbers:
            yield number, grey


def _rendered(content: bytes, numbers: Sequence[int] | None, most: int | None) -> Iterator[tuple[int, Image]]:
    try:
        with library_errors():
            import pypdfium2

            with pypdfium2.PdfDocument(content) as document:
                if most is not None and len(document) > most:
                    raise Unreadable(Reason.TOO_MANY, f"{len(document)} pages > {most}")
                for number in numbers or range(1, len(document) + 1):
                    yield number, _page(document, number)
    except Unreadable as error:
        if isinstance(error.__cause__, MemoryError):  # of this machine: how large a page may be is bounded
            raise error.__cause__ from None
        raise SourceUnreadable(where="pdf", detail=str(error)) from error


def _page(document: Any, number: int) -> Image:
    page = document[number - 1]
    try:
        width, height = (max(1.0, points / POINTS) for points in page.get_size())  # inches
        scale = min(DPI, (RENDERED_PIXELS / (width * height)) ** 0.5, MAXIMUM_SIDE / max(width, height)) / POINTS
        rendered: Image = page.render(scale=scale, grayscale=True).to_pil()
        return rendered.convert("L")
    finally:
        page.close()


def read_image(content: bytes, name: str, limits: Limits, ocr: PageReader) -> Iterator[Document | Skipped]:
    """A Document a page. Raises Unreadable for what is no image."""
    yield from read_pages(content, "image", None, name, limits, ocr)


def read_pages(
    content: bytes, packed: Packed, numbers: Sequence[int] | None, name: str, limits: Limits, ocr: PageReader
) -> Iterator[Document | Skipped]:
    """A Document for each page with text; a Skipped for each without, that says whether it is blank."""
    chosen = None if numbers is None else numbers[: limits.scanned_pages]
    done = 0
    try:
        for reading in ocr.pages(content, packed, chosen):
            if done == limits.scanned_pages:
                yield Skipped(name, Reason.TOO_MANY, f"> {limits.scanned_pages} scanned pages")
                return
            done += 1
            yield _document(reading, f"{name}:{reading.page}")
    except (SourceUnreadable, ReaderFailed) as error:
        reason = Reason.DAMAGED if isinstance(error, SourceUnreadable) else Reason.READER_FAILED
        if not done:
            raise Unreadable(reason, error.detail) from error
        yield Skipped(name, reason, f"after {done} pages: {error.detail}")
        return
    if numbers is not None and len(numbers) > limits.scanned_pages:
        yield Skipped(name, Reason.TOO_MANY, f"> {limits.scanned_pages} scanned pages")


def _document(reading: PageReading, place: str) -> Document | Skipped:
    if text := clean(reading.text):
        return Document(text, place, confidence=reading.confidence, page=reading.page)
    if reading.blank:
        return Skipped(place, Reason.BLANK)
    return Skipped(place, Reason.ILLEGIBLE, VERTICAL_HINT if reading.engine == NO_VERTICAL else "")
