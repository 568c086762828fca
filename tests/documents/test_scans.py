"""Pictures become documents for who has asked for OCR, page by page and within limits; for nobody else."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scanned import encoded, ruined, sheet

from so8t.build.data.multimodal.pages import DOMAINS, group
from so8t.build.data.multimodal.render import render
from so8t.core.errors import ReaderFailed, SourceUnreadable
from so8t.core.types import Levels
from so8t.documents import scans
from so8t.documents.document import Document, Skipped
from so8t.documents.images import image_pages, is_blank
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.limits import Limits
from so8t.documents.ocr import reads_vertical
from so8t.documents.ocr_process import OcrProcess
from so8t.documents.read import read
from so8t.documents.scans import PageReading, pictures

from .conftest import pdf_bytes

LINES = ("出張の手続き", "申請書は課長の承認を受けてから総務課へ出します。")


@pytest.fixture(scope="module")
def ocr() -> Iterator[OcrProcess]:
    made = OcrProcess()
    yield made
    made.close()


class Told:
    """Stands where OCR would; `asked`: which pages were wanted."""

    def __init__(self, *told: PageReading) -> None:
        self.told, self.asked = told, list[Sequence[int] | None]()

    def pages(self, content: bytes, packed: str, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
        self.asked.append(numbers)
        for reading in self.told:
            if reading.page < 0:
                raise SourceUnreadable(where="page", detail="torn")
            if reading.page == 0:
                raise ReaderFailed(where="page", detail="it stopped")
            yield reading


def put(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_without_ocr_an_image_is_no_kind_of_file(tmp_path: Path) -> None:
    (skipped,) = read(put(tmp_path, "a.png", encoded(sheet(*LINES))))
    assert isinstance(skipped, Skipped) and skipped.reason == "unknown kind"
    assert kind_of("a.PNG") is None and kind_of("a.PNG", images=True) == (Kind.IMAGE, "")
    assert kind_of("a.png.gz", images=True) is None and kind_of("~$a.png", images=True) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_every_format_is_read(tmp_path: Path, ocr: OcrProcess, kind: str) -> None:
    path = put(tmp_path, f"a.{kind.lower()}", encoded(sheet(*LINES), kind))
    (document,) = read(path, Limits(), ocr)
    assert isinstance(document, Document) and LINES[1] in document.text and document.place == f"{path.name}:1"
    assert document.confidence is not None and document.confidence > 0.95 and document.page == 1


def test_a_tiff_of_many_pages_and_blank_ones(tmp_path: Path, ocr: OcrProcess) -> None:
    path = put(tmp_path, "a.tiff", encoded(sheet(LINES[0]), "TIFF", [sheet(), sheet(LINES[1])]))
    first, blank, last = read(path, Limits(), ocr)
    assert isinstance(first, Document) and isinstance(last, Document) and (first.page, last.page) == (1, 3)
    assert isinstance(blank, Skipped) and blank.reason == "blank page" and blank.place == f"{path}:2"


def test_a_page_nobody_can_read_is_named(tmp_path: Path, ocr: OcrProcess) -> None:
    (skipped,) = read(put(tmp_path, "a.png", encoded(ruined(sheet(*LINES), blur=6))), Limits(), ocr)
    assert isinstance(skipped, Skipped) and skipped.reason == "image without legible text"


def test_a_logo_without_text_is_no_page_that_was_lost(tmp_path: Path, ocr: OcrProcess) -> None:
    logo = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (120, 1)))
    (skipped,) = read(put(tmp_path, "a.png", encoded(logo)), Limits(), ocr)
    assert isinstance(skipped, Skipped) and skipped.reason == "blank page"


@pytest.mark.skipif(reads_vertical(), reason="tesseract reads it here")
def test_a_vertical_page_without_tesseract_is_one_nobody_can_read(tmp_path: Path, ocr: OcrProcess) -> None:
    """And the page after it is read all the same."""
    made = dataclasses.replace(group(DOMAINS[1], 0, 8, Levels(), False)[0].page, vertical=True, noise="clean")
    skipped, document = read(put(tmp_path, "a.tiff", encoded(render(made), "TIFF", [sheet(*LINES)])), Limits(), ocr)
    assert isinstance(skipped, Skipped) and skipped.reason == "image without legible text"
    assert "tesseract" in skipped.detail and isinstance(document, Document) and document.page == 2


def test_of_a_pdf_only_the_pages_without_text_are_read(tmp_path: Path) -> None:
    import pypdfium2

    made = pypdfium2.PdfDocument.new()
    for source in (pdf_bytes(["文字のある頁です。"] * 3), encoded(sheet(*LINES), "PDF")):
        with pypdfium2.PdfDocument(source) as part:
            made.import_pages(part)
    content = io.BytesIO()
    made.save(content)
    made.close()
    ocr = Told(PageReading(2, "読み取った文", 0.9, "rapidocr"))
    text, scanned = read(put(tmp_path, "a.pdf", content.getvalue()), Limits(), ocr)
    assert isinstance(text, Document) and text.confidence is None and "文字のある頁" in text.text
    assert isinstance(scanned, Document) and scanned.place == "a.pdf:2" and ocr.asked == [[2]]
    text, skipped = read(tmp_path / "a.pdf")  # as before without it
    assert isinstance(skipped, Skipped) and skipped.detail == "1 of 2 pages"


def test_a_rendered_page_keeps_its_proportions_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(sheet(*LINES), "PDF")
    ((_, page),) = pictures(content, "pdf")
    assert page.mode == "L" and abs(page.width / page.height - sheet(*LINES).width / sheet(*LINES).height) < 0.01
    monkeypatch.setattr(scans, "RENDERED_PIXELS", 100_000)
    ((_, small),) = pictures(content, "pdf")
    assert small.width * small.height <= 105_000


def test_more_pages_than_allowed(tmp_path: Path) -> None:
    told = [PageReading(n, f"頁 {n}", 0.9, "rapidocr") for n in range(1, 6)]
    *documents, skipped = read(put(tmp_path, "a.tiff", b"II*\0"), Limits(scanned_pages=3), Told(*told))
    assert len(documents) == 3 and isinstance(skipped, Skipped) and skipped.reason == "too many parts"
    with pytest.raises(SourceUnreadable, match="2 pages > 1"):
        list(pictures(encoded(sheet("頁"), "TIFF", [sheet("頁")]), "image", most=1))
    with pytest.raises(SourceUnreadable, match="2 pages > 1"):
        list(pictures(encoded(sheet("頁"), "PDF", [sheet("頁")]), "pdf", most=1))


def test_what_came_before_the_damage_is_kept(tmp_path: Path) -> None:
    good, torn = PageReading(1, "一頁目", 0.9, "rapidocr"), PageReading(-1, "", 0, "")
    document, skipped = read(put(tmp_path, "a.tiff", b"II*\0"), Limits(), Told(good, torn))
    assert isinstance(document, Document) and isinstance(skipped, Skipped) and skipped.reason == "damaged"
    (only,) = read(tmp_path / "a.tiff", Limits(), Told(torn))
    assert isinstance(only, Skipped) and only.reason == "damaged"


def test_a_reader_that_fails_is_no_damage_of_the_file(tmp_path: Path) -> None:
    good, lost = PageReading(1, "一頁目", 0.9, "rapidocr"), PageReading(0, "", 0, "")
    document, skipped = read(put(tmp_path, "a.tiff", b"II*\0"), Limits(), Told(good, lost))
    assert isinstance(document, Document) and isinstance(skipped, Skipped) and skipped.reason == "the reader failed"
    (only,) = read(tmp_path / "a.tiff", Limits(), Told(lost))
    assert isinstance(only, Skipped) and only.reason == "the reader failed"


def test_memory_that_is_short_is_no_damage_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(scans, "_page", short)
    with pytest.raises(MemoryError):
        list(pictures(encoded(sheet("頁"), "PDF"), "pdf"))


@pytest.mark.parametrize("content", [b"", b"junk", b"%PDF-1.7 in an image", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_is_no_image_is_named(tmp_path: Path, ocr: OcrProcess, content: bytes) -> None:
    (skipped,) = read(put(tmp_path, "a.png", content), Limits(), ocr)
    assert isinstance(skipped, Skipped) and skipped.reason in ("damaged", "content of another kind")


def test_a_picture_for_people_is_made_anew(ocr: OcrProcess) -> None:
    shown = ocr.picture(encoded(sheet(*LINES)) + b"trailing", "image", 1)
    assert shown.startswith(b"\x89PNG") and b"trailing" not in shown
    with pytest.raises(SourceUnreadable):
        ocr.picture(encoded(sheet(*LINES)), "image", 2)


def test_blank_is_paper_and_dust() -> None:
    paper = np.full((500, 500), 240, np.uint8)
    assert is_blank(Image.fromarray(paper))
    paper[100, 100:104] = 0
    assert is_blank(Image.fromarray(paper))
    paper[200:220, 100:300] = 0
    assert not is_blank(Image.fromarray(paper))
    ((page),) = image_pages(encoded(sheet("頁", width=300)), "a")
    assert not is_blank(page)
