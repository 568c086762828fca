"""Where office files carry their level: over, under and behind the text."""

from __future__ import annotations

import io
import zipfile

from .conftest import Written, docx_bytes, pptx_bytes, rezipped, xlsx_bytes, zip_bytes

MARK = "社外秘"
WATERMARK = (
    '<w:p xmlns:v="urn:schemas-microsoft-com:vml"><w:r><w:pict><v:shape><v:textpath string="極秘"/></v:shape>'
    "</w:pict></w:r></w:p>"
)


def around(written: Written, name: str, content: bytes) -> str:
    (document,), skipped = written(name, content)
    assert not skipped and MARK not in document.text
    return str(document.around)


def headed(text: str) -> bytes:
    from docx import Document

    word = Document(io.BytesIO(docx_bytes(text)))
    word.sections[0].header.paragraphs[0].text = MARK
    word.sections[0].footer.paragraphs[0].text = "頁"
    out = io.BytesIO()
    word.save(out)
    return out.getvalue()


def test_headers_and_footers_of_word(written: Written) -> None:
    assert around(written, "a.docx", headed("本文")).splitlines() == [MARK, "頁"]
    assert around(written, "a.docx", docx_bytes("本文")) == ""


def test_a_watermark_of_word(written: Written) -> None:
    content = rezipped(
        headed("本文"), {"word/header1.xml": lambda xml: xml.replace(b"</w:hdr>", WATERMARK.encode() + b"</w:hdr>")}
    )
    assert "極秘" in around(written, "a.docx", content).splitlines()


def test_the_master_of_slides(written: Written) -> None:
    from pptx import Presentation

    deck = Presentation(io.BytesIO(pptx_bytes(("計画", "本文", ""))))
    deck.slide_master.placeholders[0].text = MARK
    out = io.BytesIO()
    deck.save(out)
    assert MARK in around(written, "a.pptx", out.getvalue()).splitlines()


def test_printed_headers_and_shapes_of_sheets(written: Written) -> None:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(xlsx_bytes(売上=[["品目", 1]])))
    book.active.oddHeader.center.text, book.active.oddHeader.center.size = MARK, 14
    book.active.evenFooter.right.text = "&P 頁"
    out = io.BytesIO()
    book.save(out)
    assert set(around(written, "a.xlsx", out.getvalue()).splitlines()) == {MARK, "頁"}
    drawing = (
        '<xdr:wsDr xmlns:xdr="urn:x" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
        "<a:p><a:r><a:t>極</a:t></a:r><a:r><a:t>秘</a:t></a:r></a:p></xdr:wsDr>"
    )
    with zipfile.ZipFile(io.BytesIO(xlsx_bytes(売上=[["品目", 1]]))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    shaped = zip_bytes(members | {"xl/drawings/drawing1.xml": drawing.encode()})
    assert around(written, "a.xlsx", shaped) == "極秘"


def test_more_than_anybody_prints_is_cut(written: Written) -> None:
    many = "".join(f"<w:p><w:r><w:t>見出し{n}</w:t></w:r></w:p>" for n in range(5000)).encode()
    content = rezipped(headed("本文"), {"word/header1.xml": lambda xml: xml.replace(b"</w:hdr>", many + b"</w:hdr>")})
    assert len(around(written, "a.docx", content)) <= 4000
