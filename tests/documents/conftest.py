"""Sample files of every kind, written by the tests themselves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path

import pytest

from so8t.documents.document import Document, Skipped
from so8t.documents.limits import DEFAULT, Limits
from so8t.documents.read import read

Written = Callable[..., tuple[list[Document], list[Skipped]]]
TEXT = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


def docx_bytes(*rows: str | Sequence[Sequence[str]]) -> bytes:
    """Paragraphs, and tables as lists of rows."""
    from docx import Document as Word

    word = Word()
    for row in rows:
        if isinstance(row, str):
            word.add_paragraph(row)
        else:
            table = word.add_table(len(row), len(row[0]))
            for i, cells in enumerate(row):
                for j, cell in enumerate(cells):
                    table.cell(i, j).text = cell
    word.core_properties.title = "規程"
    out = io.BytesIO()
    word.save(out)
    return out.getvalue()


def xlsx_bytes(**sheets: list[list[object]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def pptx_bytes(*slides: tuple[str, str, str]) -> bytes:
    """(title, body, notes) each."""
    from pptx import Presentation

    deck = Presentation()
    for title, body, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def pdf_bytes(*pages: Sequence[str]) -> bytes:
    """Lines of pages in a Japanese font that is named but not embedded (ISO 32000-1, 9.7.5.2)."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{5 + 2 * i} 0 R' for i in range(len(pages)))}] >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /UniJIS-UCS2-H /DescendantFonts [4 0 R] >>",
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light /DW 1000"
        " /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >> >>",
    ]
    for i, lines in enumerate(pages):
        shown = "".join(f"<{line.encode('utf-16-be').hex()}> Tj T* " for line in lines)
        stream = f"BT /F1 10 Tf 14 TL 50 780 Td {shown}ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {6 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    return out + f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF".encode().replace(
        f"startxref\n{len(out)}".encode(), f"startxref\n{out.index(b'xref')}".encode()
    )


def mail_bytes(text: str, charset: str = "iso-2022-jp", attached: Sequence[tuple[str, bytes]] = ()) -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "会議のお知らせ", "a@example.jp", "b@example.jp"
    mail.set_content(text, charset=charset)
    for name, content in attached:
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def zip_bytes(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def rezipped(content: bytes, changes: dict[str, Callable[[bytes], bytes]]) -> bytes:
    """An office file with some of its members changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zip_bytes({name: changes.get(name, lambda b: b)(data) for name, data in members.items()})


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a file, read it, and part what came out."""

    def write(name: str, content: bytes | str, limits: Limits = DEFAULT) -> tuple[list[Document], list[Skipped]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        items = list(read(path, limits))
        return [i for i in items if isinstance(i, Document)], [i for i in items if isinstance(i, Skipped)]

    return write
