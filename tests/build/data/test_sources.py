"""Local text: paragraphs, JSON lines and folders come in with their place; what cannot be read is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.sources import LONGEST, Document, read_sources, source_files, split_long
from so8t.core.errors import RecordInvalid, So8tError, SourceEmpty, SourceMissing, SourceUnreadable
from so8t.core.types import Domain


def read(*paths: Path | str) -> list[Document]:
    return list(read_sources(tuple(map(str, paths))))


def test_paragraphs_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff\r\n一行目です。\r\n二行目です。\r\n\r\n \t\r\n次の段落です。".encode())
    found = read(path)
    assert [(d.text, d.place) for d in found] == [
        ("一行目です。\n二行目です。", "a.txt:2"),
        ("次の段落です。", "a.txt:6"),
    ]
    assert {(d.source, d.license, d.domain) for d in found} == {("a.txt", "unknown", None)}


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    records = [
        {"text": "文一\x00"},
        {"text": "文二", "domain": "medical", "source": "社内誌", "license": "CC0-1.0", "x": 1},
    ]
    path.write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in records), encoding="utf-8")
    assert read(path) == [
        Document("文一", "a.jsonl", "unknown", "a.jsonl:1"),
        Document("文二", "社内誌", "CC0-1.0", "a.jsonl:3", Domain.MEDICAL),
    ]


def test_a_folder_is_read_whole_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "sub/a.txt", "a.txt", "c.docx", "d.md"):
        (tmp_path / name).write_text(f"{name}の文", encoding="utf-8")
    assert [d.text for d in read(tmp_path)] == ["a.txtの文", "b.txtの文", "sub/a.txtの文"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.txt").write_text("中", encoding="utf-8")
    (tmp_path / "out" / "b.txt").write_text("外", encoding="utf-8")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in", target_is_directory=True)
    assert [d.text for d in read(tmp_path / "in")] == ["中"]


def test_sources_in_the_order_given(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name, encoding="utf-8")
    assert [d.text for d in read(tmp_path / "b.txt", tmp_path / "a.txt")] == ["b", "a"]


def test_the_starter_corpus() -> None:
    found = read("starter")
    assert len(found) >= 400 and {d.domain for d in found} == set(Domain)
    assert len(source_files("starter")) == 8


@pytest.mark.parametrize(
    ("content", "name", "error", "place"),
    [
        (None, "no.txt", SourceMissing, "{path}"),
        (b"", "a.txt", SourceEmpty, "{path}"),
        (b" \n\n\t\n", "a.txt", SourceEmpty, "{path}"),
        (b"", "a.jsonl", SourceEmpty, "{path}"),
        (b'{"text": ""}\n', "a.jsonl", SourceEmpty, "{path}"),
        ("一\n".encode() + b"\xe3\x81\n", "a.txt", SourceUnreadable, "{path}:2"),
        ('{"text": "一"}\n{"text": "二'.encode(), "a.jsonl", RecordInvalid, "{path}:2"),
        (b'{"text": 3}\n', "a.jsonl", RecordInvalid, "{path}:1"),
        (b'{"body": "x"}\n', "a.jsonl", RecordInvalid, "{path}:1"),
        (b'{"text": "x", "domain": "sports"}\n', "a.jsonl", RecordInvalid, "{path}:1"),
        (b'["text"]\n', "a.jsonl", RecordInvalid, "{path}:1"),
    ],
)
def test_bad_input(tmp_path: Path, content: bytes | None, name: str, error: type[So8tError], place: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as caught:
        read(path)
    assert caught.value.where == place.format(path=path) and caught.value.exit_code == 3


def test_a_bad_domain_of_another_type(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "domain": ["medical"]}\n')
    with pytest.raises(RecordInvalid):
        read(path)


def test_an_empty_folder_and_no_source_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceEmpty) as caught:
        read(tmp_path)
    assert caught.value.where == str(tmp_path)
    with pytest.raises(SourceEmpty):
        read()


def test_one_empty_source_among_good_ones(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("文", encoding="utf-8")
    (tmp_path / "b.txt").touch()
    with pytest.raises(SourceEmpty) as caught:
        read(tmp_path / "a.txt", tmp_path / "b.txt")
    assert caught.value.where == str(tmp_path / "b.txt")


def test_a_long_document_is_cut_between_sentences(tmp_path: Path) -> None:
    sentence = "この文はちょうど三十五文字の長さになるように書いてある試験用の文です。"
    path = tmp_path / "a.txt"
    path.write_text(sentence * 100, encoding="utf-8")
    found = read(path)
    assert "".join(d.text for d in found) == sentence * 100
    assert all(len(d.text) <= LONGEST and d.text.endswith("。") for d in found)
    assert len(found) == -(-100 // (LONGEST // len(sentence)))
    assert {d.place for d in found} == {"a.txt:1"}


@given(st.text(alphabet="あ。！\n a", max_size=300), st.integers(1, 40))
def test_split_long_loses_nothing_but_space(text: str, longest: int) -> None:
    pieces = list(split_long(text, longest))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(pieces)
    if len(text) <= longest:
        assert pieces == ([text] if text else [])
