"""Encodings are told apart, and a text is never decoded in two of them."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.documents.encoding import decoded, detect, text_lines, whole_text
from so8t.documents.unreadable import Reason, Unreadable

TEXT = "お客様の口座情報は、法令に基づき適切に管理いたします。詳しくは窓口でお尋ねください。"
CASES = {
    "sentence": TEXT,
    "short": "議事録を送る。",
    "kanji": "東京都千代田区霞が関一丁目",
    "katakana": "システムエンジニアリング",
    "half-width": "ﾃﾞｰﾀﾍﾞｰｽ ｾｷｭﾘﾃｨ ﾎﾟﾘｼｰ ｶﾞｲﾄﾞﾗｲﾝ",
    "mixed": "OpenSSL 3.0 の証明書（X.509）を更新する",
}


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("case", CASES)
def test_a_text_comes_back_from_every_encoding(case: str, encoding: str) -> None:
    if case == "half-width" and encoding == "iso2022_jp":
        pytest.skip("RFC 1468 has no half-width kana")
    content = CASES[case].encode(encoding)
    assert whole_text(content) == CASES[case]
    assert [line for _, line in text_lines(iter([content]), 1 << 20)] == [CASES[case]]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
def test_a_head_may_end_within_a_character(encoding: str) -> None:
    content = (TEXT * 9).encode(encoding)
    assert {detect(content[:n]) for n in range(40, 120)} == {encoding}


def test_marks_of_byte_order_decide() -> None:
    assert detect(codecs.BOM_UTF16_BE + b"\x30\x42") == "utf-16"
    assert detect(codecs.BOM_UTF32_LE + b"A\0\0\0") == "utf-32"
    assert detect(codecs.BOM_UTF8 + b"A") == "utf-8-sig"


def test_what_windows_adds_to_the_standards_is_read() -> None:
    assert decoded(b"\xad\xa1\xad\xea\xa4\xa2", "euc_jp") == "①㈱あ"
    assert decoded(b'\x1b$B-!-j$"\x1b(B abc \x1b(I6^\x1b(B', "iso2022_jp") == "①㈱あ abc ｶﾞ"
    assert decoded("①㈱髙".encode("cp932"), "cp932") == "①㈱髙"


@pytest.mark.parametrize("content", [bytes(range(256)) * 9, b"\0" * 99, b"\x89PNG\r\n\x1a\n" + bytes(64), b"\xff" * 50])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable) as error:
        detect(content)
    assert error.value.reason is Reason.NOT_TEXT


def test_one_text_is_one_encoding() -> None:
    content = TEXT.encode() + b"\n" + TEXT.encode("cp932") + b"\n" + TEXT.encode()
    rows = list(text_lines(iter([content]), 1 << 20))
    assert [n for n, _ in rows] == [1, 2, 3] and rows[0][1] == rows[2][1] == TEXT
    assert isinstance(rows[1][1], Unreadable) and rows[1][1].reason is Reason.NOT_TEXT


def test_the_first_line_that_is_not_ascii_decides_after_ascii() -> None:
    content = b"header\n" * 20_000 + TEXT.encode("cp932") + b"\r\n"
    for blocks in ([content], [content[: 1 << 16], content[1 << 16 :]]):
        assert list(text_lines(iter(blocks), 1 << 20))[-1] == (20_001, TEXT)
    assert whole_text(content).endswith(f"{TEXT}\r\n")
    mail = b"header\n" * 20_000 + TEXT.encode("iso2022_jp")
    assert list(text_lines(iter([mail]), 1 << 20))[-1] == (20_001, TEXT)
    odd = list(text_lines(iter([b"a\n" * 40_000 + b"\xff\xfeb\nc"]), 1 << 20))
    assert [n for n, row in odd if isinstance(row, str)] == [*range(1, 40_001), 40_002]


def test_a_text_cut_within_a_character_keeps_the_rest() -> None:
    rows = [row for _, row in text_lines(iter([TEXT.encode()[:-1]]), 1 << 20)]
    assert rows[0] == TEXT[:-1] and isinstance(rows[1], Unreadable) and rows[1].reason is Reason.TRUNCATED


def test_a_label_is_believed_only_where_it_fits() -> None:
    assert whole_text(TEXT.encode("cp932"), "Shift_JIS") == TEXT
    assert whole_text(TEXT.encode("euc_jp"), "Shift_JIS") == TEXT
    assert whole_text(TEXT.encode("iso2022_jp"), "ISO-2022-JP") == TEXT
    assert whole_text(TEXT.encode(), "x-unknown") == TEXT


@given(st.binary(max_size=300), st.integers(1, 64))
def test_any_bytes_are_lines_or_reasons(content: bytes, longest: int) -> None:
    try:
        rows = list(text_lines(iter([content] if content else []), longest))
    except Unreadable as error:
        assert error.reason is Reason.NOT_TEXT
    else:
        assert all(isinstance(row, (str, Unreadable)) for _, row in rows)
