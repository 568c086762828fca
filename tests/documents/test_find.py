"""A source names files: a file, a folder, a glob, a list; nothing hangs and nothing is lost on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from so8t.core.errors import SourceMissing, SourceUnreadable
from so8t.documents.find import find
from so8t.documents.unreadable import Reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.txt",
        "a.jsonl.gz",
        "深い/c.docx",
        "深い/もっと/d.pdf",
        "深い/e.exe",
        "AA/wiki_00",
        "~$b.docx",
        ".git/x.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(paths: list[Path], root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in paths]


def test_a_folder_is_all_below_it_in_order_and_the_rest_is_named(folder: Path) -> None:
    paths, skipped = find(str(folder))
    assert names(paths, folder) == ["AA/wiki_00", "a.jsonl.gz", "b.txt", "深い/c.docx", "深い/もっと/d.pdf"]
    assert {(Path(s.place).name, s.reason) for s in skipped} == {
        (".git", Reason.HIDDEN), ("e.exe", Reason.UNKNOWN_KIND), ("~$b.docx", Reason.UNKNOWN_KIND),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["b.txt"]),
        ("**/*.docx", ["深い/c.docx"]),
        ("深い/*", ["深い/c.docx"]),
        ("深い/**/*.pdf", ["深い/もっと/d.pdf"]),
        ("深?/*.docx", ["深い/c.docx"]),
        ("[ab].*", ["a.jsonl.gz", "b.txt"]),
        ("**/wiki_*", ["AA/wiki_00"]),
    ],
)
def test_globs(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(find(str(folder / pattern))[0], folder) == expected


def test_a_name_with_a_bracket_is_a_name_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("x")
    assert find(str(tmp_path / "a[1].txt"))[0] == [tmp_path / "a[1].txt"]


def test_a_list_holds_files_folders_and_globs_relative_to_itself(folder: Path) -> None:
    (folder / "list.lst").write_bytes("# 一覧\n深い/*.docx\n\nb.txt\nない.txt\nAA\nb.txt\n".encode("cp932"))
    paths, skipped = find(f"@{folder / 'list.lst'}")
    assert names(paths, folder) == ["深い/c.docx", "b.txt", "AA/wiki_00"]
    assert [(s.place.rpartition(":")[2], s.reason, s.detail) for s in skipped] == [("5", Reason.NOT_FOUND, "ない.txt")]


MISSING = ["ない.txt", "ない/*.txt", "ない/**", "@ない.lst", "", "a\0b", "x" * 5000]


@pytest.mark.parametrize("spec", MISSING, ids=range(len(MISSING)))
def test_what_names_nothing_is_missing(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if spec:
        with pytest.raises(SourceMissing):
            find(spec)
    else:
        assert find(spec) == ([], [])  # this folder, which is empty


def test_a_list_that_is_no_text_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(bytes(range(256)))
    with pytest.raises(SourceUnreadable):
        find(f"@{tmp_path / 'list'}")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_to_folders_are_named_and_not_followed(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "z.txt").symlink_to(folder / "b.txt")
    for spec in (folder, folder / "**/*"):
        paths, skipped = find(str(spec))
        assert "z.txt" in names(paths, folder) and len(paths) == 6
        assert {(Path(s.place).name, s.reason) for s in skipped} >= {
            ("loop", Reason.LINK),
            ("self", Reason.NOT_READABLE),
        }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert [s.reason for s in find(str(tmp_path))[1]] == [Reason.NOT_FILE]


def test_a_folder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(path: Path) -> object:
        if Path(path).name == "深い":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("so8t.documents.find.os.scandir", refused)
    for spec in (folder, folder / "*/*.docx"):
        paths, skipped = find(str(spec))
        assert "深い/c.docx" not in names(paths, folder)
        assert ("深い", Reason.NOT_READABLE) in {(Path(s.place).name, s.reason) for s in skipped}
