"""Mail: its best text part in any charset, and what is attached, one level deep."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason

from .conftest import TEXT, Written, docx_bytes, mail_bytes, zip_bytes


@pytest.mark.parametrize("charset", ["iso-2022-jp", "shift_jis", "euc-jp", "utf-8"])
def test_charsets_and_subject(written: Written, charset: str) -> None:
    (document,), skipped = written("a.eml", mail_bytes(f"お世話になります。\n{TEXT}", charset))
    assert document.text == f"お世話になります。\n{TEXT}" and document.title == "会議のお知らせ" and not skipped


def test_a_wrong_or_missing_charset_is_found_out(written: Written) -> None:
    for charset in ("", "; charset=x-unknown", "; charset=us-ascii"):
        content = f"Subject: a\r\nContent-Type: text/plain{charset}\r\n\r\n".encode() + TEXT.encode("cp932")
        assert written("a.eml", content)[0][0].text == TEXT


def test_html_alone_becomes_text_and_plain_comes_first(written: Written) -> None:
    mail = EmailMessage()
    mail["Subject"] = "a"
    mail.set_content(f"<p>{TEXT}</p><script>x</script><p>二行目です。</p>", subtype="html")
    assert written("a.eml", mail.as_bytes())[0][0].text == f"{TEXT}\n二行目です。"
    mail = EmailMessage()
    mail.set_content(TEXT)
    mail["Subject"] = "a"
    mail.add_alternative("<p>HTML</p>", subtype="html")
    assert written("b.eml", mail.as_bytes())[0][0].text == TEXT


def test_attachments_are_read_by_their_kind(written: Written, tmp_path: Path) -> None:
    content = mail_bytes(
        "本文です。",
        attached=[
            ("議事録.docx", docx_bytes("議事録です。")), ("図.png", b"\x89PNG"), ("中.eml", mail_bytes("中です。")),
            ("壊.docx", b"PK\x03\x04"), ("爆.docx", zip_bytes({"a.xml": bytes(90 << 20)})),
            ("控.txt", TEXT.encode("cp932")),
        ],
    )  # fmt: skip
    documents, skipped = written("a.eml", content)
    assert [(d.text, d.place) for d in documents] == [
        ("本文です。", "a.eml"), ("議事録です。", "a.eml:議事録.docx"), (TEXT, "a.eml:控.txt:1"),
    ]  # fmt: skip
    assert [(s.place.removeprefix(f"{tmp_path / 'a.eml'}:"), s.reason) for s in skipped] == [
        ("図.png", Reason.UNKNOWN_KIND), ("中.eml", Reason.UNKNOWN_KIND), ("壊.docx", Reason.DAMAGED),
        ("爆.docx", Reason.TOO_LARGE),
    ]  # fmt: skip
    assert written("a.eml", content, Limits(attachments=1))[1][-1].reason is Reason.TOO_MANY


def test_a_body_that_cannot_be_read_does_not_hide_the_attachments(written: Written) -> None:
    content = mail_bytes("x", attached=[("a.txt", TEXT.encode())]).replace(b'charset="iso-2022-jp"', b"")
    broken = content.replace(b"\nx\n", b"\n" + b"\0\x01\x02" * 20 + b"\n", 1)
    documents, skipped = written("a.eml", broken)
    assert [d.text for d in documents] == [TEXT] and [s.reason for s in skipped] == [Reason.NOT_TEXT]


def test_a_mail_in_a_mail_in_a_mail_ends(written: Written) -> None:
    content = b"Subject: a\r\nContent-Type: text/plain\r\n\r\nx"
    for i in range(3000):
        content = b"Subject: a\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) + content
    documents, skipped = written("a.eml", content)
    assert len(documents) + len(skipped) >= 1


def test_what_is_no_mail(written: Written) -> None:
    assert [s.reason for s in written("a.eml", b"\r\njust text")[1]] == [Reason.WRONG_KIND]
