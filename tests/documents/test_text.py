"""Plain text, JSON rows, WikiExtractor's files and parquet."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from pathlib import Path

import pytest

from so8t.core.types import Domain
from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.read import read
from so8t.documents.unreadable import Reason

from .conftest import TEXT, Written

SHORT = "短い行"


def rows(*records: object) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)


def test_a_paragraph_of_sentences_is_a_document(written: Written) -> None:
    documents, skipped = written("a.txt", f"{TEXT}\n{TEXT}\n\n\u3000\n{TEXT}\r\n")
    assert [(d.text, d.place) for d in documents] == [(f"{TEXT}\n{TEXT}", "a.txt:1"), (TEXT, "a.txt:5")]
    assert not skipped


def test_short_paragraphs_are_put_together(written: Written) -> None:
    documents, _ = written("a.txt", "\n\n".join([SHORT] * 300))
    assert len(documents) == 4 and all(len(d.text) >= 400 for d in documents[:-1])
    assert "\n\n".join(d.text for d in documents) == "\n\n".join([SHORT] * 300)


def test_a_heading_goes_with_what_it_heads(written: Written) -> None:
    documents, _ = written("a.txt", f"第一章\n\n{TEXT}\n\n第二章\n\n{TEXT}\n\nおわり")
    assert [d.text for d in documents] == [f"第一章\n\n{TEXT}", f"第二章\n\n{TEXT}", "おわり"]


def test_a_file_without_blank_lines_is_one_document_unless_it_is_too_long(written: Written) -> None:
    content = "\n".join([SHORT] * 2000)
    assert [d.text for d in written("a.txt", content)[0]] == [content]
    documents, skipped = written("b.txt", content, Limits(document_characters=1000))
    assert "\n".join(d.text for d in documents) == content and not skipped
    assert max(len(d.text) for d in documents) <= 1000


def test_only_the_lines_that_cannot_be_read_are_missing(written: Written) -> None:
    content = f"{TEXT}\n{'x' * 2000}\nNUL\0\n{TEXT}\n"
    (document,), skipped = written("a.txt", content, Limits(record_bytes=1000))
    assert document.text == f"{TEXT}\n{TEXT}"
    assert [(Path(s.place).name, s.reason) for s in skipped] == [
        ("a.txt:2", Reason.LONG_LINE), ("a.txt:3", Reason.NOT_TEXT),
    ]  # fmt: skip


def test_rows_say_what_they_know_of_themselves(written: Written) -> None:
    full = {"text": TEXT, "title": "猫", "source": "青空", "license": "PD", "domain": "finance", "n": 1}
    documents, skipped = written("a.jsonl", rows(full, {"text": TEXT, "url": "u", "title": 3, "domain": None}))
    assert documents == [
        Document(TEXT, "a.jsonl:1", "猫", "青空", "PD", Domain.FINANCE),
        Document(TEXT, "a.jsonl:2", source="u"),
    ]
    assert not skipped


def test_bad_rows_are_named_one_by_one(written: Written, tmp_path: Path) -> None:
    bad = ["{", "[1]", '"text"', '{"text": 3}', '{"text": ""}', '{"text": "a", "domain": "猫"}', '{"text": "\\ud800"}',
           '{"text": NaN}', "[" * 5000, '{"text": "a", "domain": ["x"]}']  # fmt: skip
    documents, skipped = written("a.jsonl", "\n".join(["", *bad, "  ", rows({"text": TEXT})]))
    assert [d.place for d in documents] == ["a.jsonl:13"]
    assert [s.place for s in skipped] == [f"{tmp_path / 'a.jsonl'}:{n}" for n in range(2, 12)]
    assert [s.reason for s in skipped] == [
        Reason.BAD_RECORD, Reason.BAD_RECORD, Reason.BAD_RECORD, Reason.NO_TEXT, Reason.NO_TEXT, Reason.UNKNOWN_DOMAIN,
        Reason.BAD_RECORD, Reason.BAD_RECORD, Reason.BAD_RECORD, Reason.UNKNOWN_DOMAIN,
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp932", "utf-16", "utf-8-sig", "euc_jp"])
def test_rows_in_other_encodings(written: Written, encoding: str) -> None:
    documents, skipped = written("a.jsonl", rows({"text": TEXT}, {"text": TEXT}).encode(encoding))
    assert [d.text for d in documents] == [TEXT, TEXT] and not skipped


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"text": TEXT}, {"text": TEXT}], indent=1, ensure_ascii=False),
        rows({"text": TEXT}, {"text": TEXT}),
        rows([{"text": TEXT}, {"text": TEXT}]),
    ],
)
def test_json_files_hold_lines_or_an_array(written: Written, content: str) -> None:
    assert [d.text for d in written("a.json", content)[0]] == [TEXT, TEXT]
    assert [d.text for d in written("b.json", json.dumps({"text": TEXT}, indent=1))[0]] == [TEXT]


def test_wiki_extractor_in_both_forms(written: Written) -> None:
    tagged = (
        f'<doc id="1" url="https://ja.wikipedia.org/?curid=1" title="猫 &amp; 犬">\n猫 & 犬\n\n{TEXT}\n1 < 2\n</doc>\n'
        f'<doc id="2" url="" title="b">\n{TEXT}</doc>\n<doc id="3" title="c">\n途中'
    )
    documents, skipped = written("wiki_00.bz2", bz2.compress(tagged.encode()))
    assert documents == [
        Document(f"猫 & 犬\n\n{TEXT}\n1 < 2", "wiki_00.bz2:1", "猫 & 犬", "https://ja.wikipedia.org/?curid=1"),
        Document(TEXT, "wiki_00.bz2:7", "b"),
    ]
    assert [s.reason for s in skipped] == [Reason.TRUNCATED]
    documents, _ = written("wiki_01", rows({"id": "1", "url": "u", "title": "猫", "text": TEXT}))
    assert documents == [Document(TEXT, "wiki_01:1", "猫", "u")]


def test_a_name_and_its_content_must_agree(written: Written) -> None:
    for name, content in [
        ("a.txt", gzip.compress(b"a")), ("a.txt.gz", TEXT.encode()), ("a.docx", b"text"), ("a.pdf", TEXT.encode()),
        ("a.txt", b"%PDF-1.4"), ("a.txt", b"PK\x03\x04"), ("a.parquet", b"PK\x03\x04"), ("a.xml", b"<html></html>"),
    ]:  # fmt: skip
        documents, skipped = written(name, content)
        assert not documents and [s.reason for s in skipped] == [Reason.WRONG_KIND], name
    assert written("old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99))[1][0].reason is Reason.ENCRYPTED


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.html", "a.xml", "a.txt.gz", "a.json", "wiki_00"])
def test_an_empty_file_is_named(written: Written, name: str) -> None:
    documents, skipped = written(name, b"")
    assert not documents and len(skipped) == 1


def test_trouble_with_the_file_itself_is_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dir.txt").mkdir()
    places = [tmp_path / "gone.txt", tmp_path / "dir.txt", tmp_path / "a.exe", tmp_path / "a\0.txt"]
    reasons = [[i.reason for i in read(p) if isinstance(i, Skipped)] for p in places]
    assert reasons == [[Reason.NOT_READABLE], [Reason.NOT_FILE], [Reason.UNKNOWN_KIND], [Reason.NOT_READABLE]]

    def refused(*_: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text(TEXT)
    monkeypatch.setattr(Path, "open", refused)
    assert list(read(tmp_path / "a.txt")) == [
        Skipped(str(tmp_path / "a.txt"), Reason.NOT_READABLE, "Permission denied")
    ]


def test_parquet_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"n": range(200), "content": [TEXT] * 199 + [None], "title": ["猫"] * 200})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=50)
    items = list(read(tmp_path / "a.parquet"))
    assert items[0] == Document(TEXT, "a.parquet:1", "猫") and len(items) == 200
    assert isinstance(items[-1], Skipped) and items[-1].reason is Reason.NO_TEXT
    parquet.write_table(table.select(["n"]), tmp_path / "b.parquet")
    assert [i.reason for i in read(tmp_path / "b.parquet") if isinstance(i, Skipped)] == [Reason.NO_TEXT]
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(content[:-40])
    assert [i.reason for i in read(tmp_path / "c.parquet") if isinstance(i, Skipped)] == [Reason.DAMAGED]


def test_a_parquet_bomb_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    monkeypatch.setattr("so8t.documents.columns.RATIO_FROM", 1 << 20)
    parquet.write_table(pa.table({"text": [TEXT * 10] * 20_000}), tmp_path / "a.parquet")
    items = list(read(tmp_path / "a.parquet"))
    assert isinstance(items[-1], Skipped) and items[-1].reason is Reason.TOO_LARGE and len(items) < 20_000
