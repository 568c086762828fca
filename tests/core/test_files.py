"""Nothing half-written is taken for finished; whatever is read is bounded, and a bad line is named."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from so8t.core import files
from so8t.core.errors import DiskFull, RecordInvalid, SourceMissing, SourceUnreadable


def failing(code: int) -> Callable[[int], None]:
    def fsync(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    return fsync


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": "あ", "a": 1})
    assert path.read_text(encoding="utf-8") == '{\n "a": 1,\n "b": "あ"\n}\n'
    files.write_text(path, "新")
    assert path.read_bytes() == "新".encode()
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    monkeypatch.setattr(files.os, "fsync", failing(code))
    with pytest.raises(DiskFull) as caught:
        files.write_text(path, "new")
    assert caught.value.where == str(path) and caught.value.exit_code == 5
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]  # no partial file is left


def test_other_failures_are_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught:
        files.write_text(tmp_path / "a.txt", "new")
    assert not isinstance(caught.value, DiskFull)
    assert os.listdir(tmp_path) == []


def test_the_file_is_synced_before_the_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "a.txt", []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        events.append("file" if os.fstat(handle).st_mode & 0o100000 else "folder")
        real_fsync(handle)

    def replace(source: Path, target: Path) -> None:
        assert source.read_bytes() == b"x"  # whole before it takes the name
        events.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    files.write_bytes(path, b"x")
    assert events == ["file", "rename", "folder"]


def test_jsonl_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert files.write_jsonl(path, ({"n": n, "文": "改\n行\u2028"} for n in range(3))) == 3
    assert [(n, r["n"]) for n, r in files.read_jsonl(path)] == [(1, 0), (2, 1), (3, 2)]
    assert len(path.read_bytes().splitlines()) == 3


def test_blank_lines_keep_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a":1}\r\n\r\n  \n{"a":2}'.encode())
    assert list(files.read_jsonl(path)) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize(
    "line",
    ['{"a": 1', '{"a": "x', "[1]", "3", "null", '"text"', "{'a': 1}", "[" * 100_000, '{"a":' * 100_000, "{} {}", "あ",
     '{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud800"}', '{"\\udfff": 1}'],
)  # fmt: skip
def test_a_broken_json_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"ok": 1}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RecordInvalid) as caught:
        list(files.read_jsonl(path))
    assert caught.value.where == f"{path}:2"
    assert len(caught.value.detail) < 500  # the error does not repeat the file


def test_huge_numbers_are_a_bad_record(tmp_path: Path) -> None:
    """int() refuses more than 4300 digits with a ValueError of its own."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": ' + "1" * 5000 + "}\n")
    with pytest.raises(RecordInvalid):
        list(files.read_jsonl(path))


def test_broken_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("一行目\n".encode() + b"ab\xff\n")
    with pytest.raises(SourceUnreadable) as caught:
        list(files.read_lines(path))
    assert caught.value.where == f"{path}:2" and "byte 2" in caught.value.detail


def test_a_line_cut_inside_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "日本'.encode()[:-1])
    with pytest.raises(SourceUnreadable) as caught:
        list(files.read_jsonl(path))
    assert caught.value.where == f"{path}:1"


def test_an_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 99 + b"\n" + b"x" * 100)
    assert [len(line) for _, line in files.read_lines(path)] == [99, 100]
    path.write_bytes(b"short\n" + b"x" * 101 + b"\n")
    with pytest.raises(SourceUnreadable) as caught:
        list(files.read_lines(path))
    assert caught.value.where == f"{path}:2"


def test_the_limit_is_four_mebibytes() -> None:
    assert files.MAX_LINE_BYTES == 4 << 20


def test_only_the_first_line_may_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff一\n\ufeff二\n".encode())
    assert list(files.read_lines(path)) == [(1, "一"), (2, "\ufeff二")]


def test_missing_and_empty(tmp_path: Path) -> None:
    for read in (files.read_json, lambda p: list(files.read_lines(p)), lambda p: list(files.read_jsonl(p))):
        with pytest.raises(SourceMissing) as caught:
            read(tmp_path / "no")
        assert caught.value.where == str(tmp_path / "no")
    (tmp_path / "empty").touch()
    assert list(files.read_lines(tmp_path / "empty")) == []


@pytest.mark.parametrize("content", [b"", b'{"a":\n 1,\n', b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"])
def test_read_json_names_the_place(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(RecordInvalid) as caught:
        files.read_json(path)
    assert caught.value.where.startswith(f"{path}:")


def test_read_json_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(SourceUnreadable):
        files.read_json(path)


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345678")
    assert files.read_bounded(path, 8) == b"12345678"
    with pytest.raises(SourceUnreadable, match="> 7 bytes"):
        files.read_bounded(path, 7)
    with pytest.raises(SourceUnreadable):
        files.read_bounded(tmp_path, 8)
    with pytest.raises(SourceMissing):
        files.read_bounded(tmp_path / "none", 8)


def test_hash_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_bytes(b"1")
    (tmp_path / "y").write_bytes(b"2")
    (tmp_path / ".hidden").write_bytes(b"3")
    found = files.hash_folder(tmp_path)
    assert list(found) == sorted(found) and set(found) == {"sub/x", "y", ".hidden"}
    assert (
        found["y"]
        == files.sha256_file(tmp_path / "y")
        == "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"
    )
    assert set(files.hash_folder(tmp_path, frozenset({"y"}))) == {"sub/x", ".hidden"}


def test_fresh_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.fresh_folder(folder)
    (folder / "old").touch()
    assert list(files.fresh_folder(folder).iterdir()) == []


def test_commit_folder_appears_whole(tmp_path: Path) -> None:
    partial, final = tmp_path / ".new", tmp_path / "final"
    final.mkdir()
    (final / "old").touch()
    (partial / "sub").mkdir(parents=True)
    (partial / "sub" / "x").write_bytes(b"1")
    files.commit_folder(partial, final)
    assert files.hash_folder(final).keys() == {"sub/x"} and not partial.exists()


def test_commit_folder_keeps_the_old_one_when_it_cannot_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial, final = tmp_path / ".new", tmp_path / "final"
    for folder in (partial, final):
        folder.mkdir()
        (folder / folder.name).write_bytes(b"1")
    monkeypatch.setattr(files.os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(OSError):
        files.commit_folder(partial, final)
    assert (final / "final").read_bytes() == b"1"


def test_write_jsonl_of_a_failing_iterator_writes_nothing(tmp_path: Path) -> None:
    def records() -> object:
        yield {"a": 1}
        raise RecordInvalid(where="x:1")

    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"old": 1}) + "\n")
    with pytest.raises(RecordInvalid):
        files.write_jsonl(path, records())  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == {"old": 1}


def test_writing_piece_by_piece_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with files.writing(path) as f:
        f.write(b"one ")
        assert not path.exists()
        f.write(b"two")
    assert path.read_bytes() == b"one two"
    with pytest.raises(KeyboardInterrupt), files.writing(path) as f:
        f.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"one two" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]
