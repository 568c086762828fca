"""PDF: lines become paragraphs, headers go, and what has no text layer is said to be scanned."""

from __future__ import annotations

import pytest

from so8t.documents.limits import Limits
from so8t.documents.pdf import _paragraphs
from so8t.documents.unreadable import Reason

from .conftest import Written, pdf_bytes

LONG = "情報資産の管理責任者は、その資産の重要度に応じて適切な管理策を定め、これを"
PAGES = [
    [
        "社外秘　規程集",
        f"{i}{LONG}",
        "実施しなければならない。",
        f"この頁の終わりの段落は{word}と{word}の話である。",
        f"- {i} -",
    ]
    for i, word in enumerate("春夏秋冬", 1)
]


def test_lines_join_and_headers_and_page_numbers_go(written: Written) -> None:
    (document,), skipped = written("a.pdf", pdf_bytes(*PAGES))
    expected = [
        f"{i}{LONG}実施しなければならない。\nこの頁の終わりの段落は{word}と{word}の話である。"
        for i, word in enumerate("春夏秋冬", 1)
    ]
    assert document.text == "\n".join(expected) and document.place == "a.pdf" and not skipped


def test_what_merely_recurs_inside_a_page_stays(written: Written) -> None:
    pages = [
        [f"{word}の章", "共通の段落。", f"{word}の段落。", "共通の段落。", f"{word}の終わり"] for word in "春夏秋冬"
    ]
    assert written("a.pdf", pdf_bytes(*pages))[0][0].text.count("共通の段落。") == 8


def test_a_sentence_goes_on_over_a_page(written: Written) -> None:
    pages = [["前の頁。", LONG], ["続けて行う。", "終わり。"]]
    assert written("a.pdf", pdf_bytes(*pages))[0][0].text == f"前の頁。\n{LONG}続けて行う。\n終わり。"


def test_paragraphs() -> None:
    lines = [
        ("The quick brown", False),
        ("fox jumps.", True),
        ("日本語の", False),
        ("行", False),
        ("・項目", False),
        ("（２）次", True),
    ]
    assert list(_paragraphs(lines)) == ["The quick brown fox jumps.", "日本語の行", "・項目", "（２）次"]
    assert list(_paragraphs([("exam\ufffe", False), ("ple", True)])) == ["example"]


def test_without_a_text_layer_it_is_scanned(written: Written) -> None:
    assert [s.reason for s in written("a.pdf", pdf_bytes([], []))[1]] == [Reason.SCANNED]
    documents, skipped = written("b.pdf", pdf_bytes(["文字のある頁。"], []))
    assert len(documents) == 1 and [(s.reason, s.detail) for s in skipped] == [(Reason.SCANNED, "1 of 2 pages")]


@pytest.mark.parametrize(
    ("content", "limits", "reason"),
    [
        (pdf_bytes(*PAGES)[:300], Limits(), Reason.DAMAGED),
        (b"%PDF-1.4\n" + bytes(5000), Limits(), Reason.DAMAGED),
        (pdf_bytes(*PAGES), Limits(pages=3), Reason.TOO_MANY),
        (pdf_bytes(*PAGES), Limits(document_characters=50), Reason.LONG_DOCUMENT),
        (pdf_bytes(*PAGES), Limits(whole_bytes=50), Reason.TOO_LARGE),
    ],
    ids=range(5),
)
def test_broken_and_large_files(written: Written, content: bytes, limits: Limits, reason: Reason) -> None:
    documents, skipped = written("a.pdf", content, limits)
    assert not documents and [s.reason for s in skipped] == [reason]


def test_a_password_is_named(written: Written) -> None:
    """Standard security handler, revision 3, with keys that no empty password fits."""
    locked = pdf_bytes(["秘密。"]).replace(
        b"/Root 1 0 R",
        b"/Root 1 0 R /ID [<00><00>] /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4"
        b" /O <" + b"11" * 32 + b"> /U <" + b"22" * 32 + b"> >>",
    )
    assert [s.reason for s in written("a.pdf", locked)[1]] == [Reason.ENCRYPTED]
