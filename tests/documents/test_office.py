"""Word, Excel and PowerPoint: what people read in them, and nothing that hurts."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest

from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason

from .conftest import TEXT, Written, docx_bytes, pptx_bytes, rezipped, xlsx_bytes, zip_bytes


def test_word_keeps_the_order_of_paragraphs_and_tables(written: Written) -> None:
    content = docx_bytes("第一条　目的", [["区分", "日数"], ["年次休暇", "二十日"]], "", "以上")
    (document,), skipped = written("a.docx", content)
    assert document.text == "第一条　目的\n区分 | 日数\n年次休暇 | 二十日\n以上" and document.title == "規程"
    assert document.place == "a.docx" and not skipped


def test_word_reads_insertions_and_controls_but_not_what_is_deleted(written: Written) -> None:
    def tracked(xml: bytes) -> bytes:
        run = "<w:r><w:t>{}</w:t></w:r>"
        return xml.replace(
            run.format("本文").encode(),
            (
                f"<w:ins w:id='1' w:author='a'>{run.format('加えた')}</w:ins>"
                "<w:del w:id='2' w:author='a'><w:r><w:delText>消した</w:delText></w:r></w:del>"
                f"<w:sdt><w:sdtContent>{run.format('欄')}</w:sdtContent></w:sdt>"
                "<w:r><w:ruby><w:rt><w:r><w:t>よみ</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>漢字</w:t></w:r></w:rubyBase>"
                "</w:ruby></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>"
            ).encode(),
        )

    content = rezipped(docx_bytes("本文"), {"word/document.xml": tracked})
    assert written("a.docx", content)[0][0].text == "加えた欄漢字"


def test_a_huge_span_costs_nothing(written: Written) -> None:
    def spanned(xml: bytes) -> bytes:
        return xml.replace(b"<w:tcPr>", b'<w:tcPr><w:gridSpan w:val="2147483647"/>')

    start = time.perf_counter()
    content = rezipped(docx_bytes([["区分", "日数"]]), {"word/document.xml": spanned})
    assert written("a.docx", content)[0][0].text == "区分 | 日数"
    assert time.perf_counter() - start < 1


def test_a_sheet_is_a_document(written: Written) -> None:
    import datetime

    content = xlsx_bytes(
        勤怠=[["氏名", "日", "時間"], ["山田", datetime.datetime(2026, 4, 1), 7.5], [None] * 3, ["佐藤", None, 8.0]],
        空=[],
        式=[["=1+1", True]],
    )  # fmt: skip
    documents, skipped = written("a.xlsx", content)
    assert [(d.text, d.place, d.title) for d in documents] == [
        ("氏名 | 日 | 時間\n山田 | 2026-04-01 | 7.5\n佐藤 | 8", "a.xlsx:勤怠", "勤怠"),
        ("True", "a.xlsx:式", "式"),  # a formula never calculated has no value
    ]
    assert not skipped


def test_the_library_does_not_write_to_our_output(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    def without_styles(xml: bytes) -> bytes:
        return xml.replace(b'xfId="0"', b'xfId="9"')

    content = rezipped(xlsx_bytes(表=[["値"]]), {"xl/styles.xml": without_styles})
    assert [s.reason for s in written("a.xlsx", content)[1]] == [Reason.DAMAGED]
    assert capsys.readouterr().out == ""


def test_a_sheet_that_asks_for_billions_of_cells_ends(written: Written) -> None:
    def far(xml: bytes) -> bytes:
        return xml.replace(b'<row r="2"', b'<row r="99999999999"').replace(b'r="A2"', b'r="A99999999999"')

    content = rezipped(xlsx_bytes(表=[["区分"], ["値"]]), {"xl/worksheets/sheet1.xml": far})
    start = time.perf_counter()
    documents, skipped = written("a.xlsx", content)
    assert time.perf_counter() - start < 3
    assert [d.text for d in documents] == ["区分"] and [s.reason for s in skipped] == [Reason.TOO_MANY]


def test_sheets_and_cells_have_limits(written: Written) -> None:
    content = xlsx_bytes(a=[["一", "二"]] * 9, b=[["三"]], c=[["四"]])
    documents, skipped = written("a.xlsx", content, Limits(sheets=2, cells=11))
    assert [d.text for d in documents] == ["\n".join(["一 | 二"] * 5)]
    assert [s.reason for s in skipped] == [Reason.TOO_MANY] * 3


def test_a_deck_is_one_document_with_its_notes(written: Written) -> None:
    (document,), skipped = written("a.pptx", pptx_bytes(("題", "本文\n二行目", "話すこと"), ("次", "続き", "")))
    assert document.text == "題\n本文\n二行目\n話すこと\n\n次\n続き" and not skipped
    assert written("b.pptx", pptx_bytes(("題", "一", "")), Limits(pages=0))[1][0].reason is Reason.TOO_MANY


@pytest.mark.parametrize(
    ("name", "content"), [("a.docx", docx_bytes()), ("a.pptx", pptx_bytes()), ("a.xlsx", xlsx_bytes(空=[]))]
)
def test_an_empty_file_says_so(written: Written, name: str, content: bytes) -> None:
    documents, skipped = written(name, content)
    assert not documents and [s.reason for s in skipped] == [Reason.NO_TEXT]


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx"])
def test_archives_that_would_hurt_are_not_opened(written: Written, name: str) -> None:
    bomb = zip_bytes({"word/document.xml": bytes(90 << 20)})
    assert [s.reason for s in written(name, bomb)[1]] == [Reason.TOO_LARGE]
    assert [s.reason for s in written(name, zip_bytes({"media/a.png": bytes(90 << 20)}))[1]] == [Reason.TOO_LARGE]
    many = zip_bytes({f"{i}.xml": b"<a/>" for i in range(99)})
    assert [s.reason for s in written(name, many, Limits(members=98))[1]] == [Reason.TOO_MANY]
    for doctype in (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
    ):
        assert [s.reason for s in written(name, zip_bytes({"a.xml": doctype}))[1]] == [Reason.ENTITIES]
    assert [s.reason for s in written(name, zip_bytes({"a.xml": b"<a/>"}, zipfile.ZIP_LZMA))[1]] == [Reason.DAMAGED]
    assert [s.reason for s in written(name, zip_bytes({"a.xml": b"<a/>"}))[1]] == [Reason.DAMAGED]
    assert [s.reason for s in written(name, docx_bytes(TEXT)[:-500])[1]] == [Reason.DAMAGED]


def test_an_entity_in_the_document_itself_is_refused(written: Written) -> None:
    def declared(xml: bytes) -> bytes:
        start = xml.index(b"<w:document")
        return (
            xml[:start]
            + b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
            + xml[start:].replace("本文".encode(), b"&e;")
        )

    content = rezipped(docx_bytes("本文"), {"word/document.xml": declared})
    assert [s.reason for s in written("a.docx", content)[1]] == [Reason.ENTITIES]


def test_declared_sizes_that_lie_are_found(written: Written) -> None:
    """The real content is larger than the header says: zipfile stops there and finds the checksum wrong."""
    content = bytearray(zip_bytes({"a.xml": b"<a>" + bytes(b"x" * 9000) + b"</a>"}))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo("a.xml").file_size
    for at in (22, content.index(b"PK\x01\x02") + 24):  # in the local header and in the directory
        assert int.from_bytes(content[at : at + 4], "little") == size
        content[at : at + 4] = (100).to_bytes(4, "little")
    assert [s.reason for s in written("a.docx", bytes(content))[1]] == [Reason.DAMAGED]


def test_an_encrypted_member_says_so(written: Written, tmp_path: Path) -> None:
    content = bytearray(zip_bytes({"a.xml": b"<a/>"}))
    for at in (6, content.index(b"PK\x01\x02") + 8):
        content[at] |= 1
    assert [s.reason for s in written("a.docx", bytes(content))[1]] == [Reason.ENCRYPTED]
