"""A hostile listing or folder is refused before anything of it is opened: names, sizes, counts, links, pipes."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.bundle_listing import (
    MAX_DEPTH,
    MAX_FILES,
    MAX_LISTING_BYTES,
    MAX_NAME,
    check_names,
    files_below,
    is_safe,
    parse_listing,
    parse_object,
    read_bounded,
)
from so8t.core.errors import BundleBroken

HERE = Path("bundle.json")
DIGEST = "0" * 64


def listed(*names: str) -> bytes:
    return json.dumps({"files": dict.fromkeys(names, DIGEST)}).encode()


@pytest.mark.parametrize(
    "name",
    [
        "card.json",
        "gguf/model-Q4_K_M.gguf",
        "licences/base/LICENSE",
        "a+b.txt",
        "_x",
        "MODEL_CARD.md",
        "con_x",
        "x.con",
    ],
)
def test_ordinary_names(name: str) -> None:
    assert is_safe(name)
    assert list(parse_listing(listed(name), HERE)["files"]) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../x", "a/..", "/etc/passwd", "//server/share", "a//b", "a/", "./a", "~/x", "-rf",
        "C:x", "C:/x", "c:\\x", "a\\b", "..\\x", "\\\\?\\C:\\x", "a:stream", ".hidden", "a/.ssh", "x.", "x ", "x./y",
        "CON", "con", "Nul.txt", "aux/x", "a/LPT1", "com0.gguf", "com¹", "COM9.tar.gz",
        "a\x00b", "a\nb", "a\x1b[31m", "a\u202egnp.exe", "a\u200bb", "ﬁle", "Ａ", "モデル.gguf", "e\u0301", "\ud800",
        "a b", "a*b", "a?b", 'a"b', "a<b", "a|b", "a%2fb", "x" * (MAX_NAME + 1), "/".join("a" * (MAX_DEPTH + 1)),
    ],
)  # fmt: skip
def test_unsafe_names(name: str) -> None:
    assert not is_safe(name)
    with pytest.raises(BundleBroken, match="unsafe name"):
        parse_listing(listed("fine", name), HERE)


@given(st.text(max_size=40) | st.text("./\\:aA~-_CONcon\u202e\u0301 ", max_size=12))
def test_a_safe_name_stays_below_its_folder_on_every_system(name: str) -> None:
    if is_safe(name):
        for flavour in (PurePosixPath, PureWindowsPath):
            path = flavour(name)
            assert not path.is_absolute() and not path.drive and ".." not in path.parts
            assert path.as_posix() == name  # nothing was normalised away
        assert name.isascii() and name.isprintable()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("Card.json", "card.json"), "one file"),
        (("GGUF/a", "gguf/b"), "one folder"),
        (("a/B/x", "a/b/y"), "one folder"),
        (("a", "a/b"), "a file and a folder"),
        (("A", "a/b"), "a file and a folder"),
    ],
)
def test_names_that_collide_somewhere(names: tuple[str, ...], why: str) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(BundleBroken, match=why):
            check_names(order, HERE)


def test_the_listing_itself_is_no_entry_however_it_is_spelt() -> None:
    with pytest.raises(BundleBroken, match="one file"):
        parse_listing(listed("BUNDLE.json"), HERE, ("bundle.json", "bundle.sig"))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"3", b"null", b"{}", b'{"files": []}', b'{"files": {}}', b'{"files": {"a": 3}}',
        b'{"files": {"a": null}}', b'{"files": {"a": "0"}}', b'{"files": {"a": "' + b"A" * 64 + b'"}}',
        b'{"files": {"a": "' + b"0" * 64 + b'\\n"}}', b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000,
        b'{"files": NaN}', b"9" * 100_000,
        # two parsers, two meanings
        b'{"files": {"a": "%s"}, "files": {"b": "%s"}}' % (b"0" * 64, b"0" * 64),
        b'{"files": {"a": "%s", "a": "%s"}}' % (b"0" * 64, b"1" * 64),
    ],
    ids=range(20),
)  # fmt: skip
def test_a_listing_that_is_none(raw: bytes) -> None:
    with pytest.raises(BundleBroken) as caught:
        parse_listing(raw, HERE)
    assert caught.value.exit_code == 8 and len(caught.value.detail) < 400


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists, max_leaves=5).map(
    lambda value: json.dumps({"files": value}).encode()))  # fmt: skip
def test_any_bytes_are_a_listing_or_refused(raw: bytes) -> None:
    try:
        files = parse_listing(raw, HERE)["files"]
    except BundleBroken:
        return
    assert files and all(is_safe(name) for name in files)


def test_a_hundred_thousand_names_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(listed(*(f"f{n}" for n in range(100_000))))
    with pytest.raises(BundleBroken, match="bytes"):
        read_bounded(tmp_path / "bundle.json", MAX_LISTING_BYTES)
    parse_listing(listed(*(f"f{n}" for n in range(MAX_FILES))), HERE)
    with pytest.raises(BundleBroken, match=f"> {MAX_FILES} files"):
        parse_listing(listed(*(f"f{n}" for n in range(MAX_FILES + 1))), HERE)


def test_a_huge_listing_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    with path.open("wb") as f:
        f.truncate(1 << 40)  # a sparse terabyte
    with pytest.raises(BundleBroken, match=f"> {MAX_LISTING_BYTES} bytes"):
        read_bounded(path, MAX_LISTING_BYTES)
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10) == b"x" * 10


@pytest.mark.skipif(os.name == "nt", reason="links need rights there, and there are no named pipes in folders")
def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name, why in (("link", "symbolic link"), ("pipe", "not a file"), ("nowhere", "missing"), (".", "not a file")):
        with pytest.raises(BundleBroken, match=why):
            read_bounded(tmp_path / name, 10)


def test_what_lies_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/.z"):
        (tmp_path / name).touch()
    assert files_below(tmp_path) == {"x", "a/y", "a/b/.z"}


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("kind", ["pipe", "link", "loop", "socket"])
def test_a_folder_with_more_than_files(tmp_path: Path, kind: str) -> None:
    import socket

    place = tmp_path / "a"
    place.mkdir()
    if kind == "pipe":
        os.mkfifo(place / "x")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(place / "x"))
    else:
        (place / "x").symlink_to(tmp_path if kind == "loop" else "nowhere")
    with pytest.raises(BundleBroken, match="symbolic link" if kind in ("link", "loop") else "not a file"):
        files_below(tmp_path)


def test_too_many_and_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / "deep" / "/".join("d" * (MAX_DEPTH + 2))
    deep.mkdir(parents=True)
    (deep / "x").touch()
    with pytest.raises(BundleBroken, match="levels"):
        files_below(tmp_path / "deep")
    many = tmp_path / "many"
    many.mkdir()
    for n in range(MAX_FILES + 50):
        (many / f"f{n}").touch()
    with pytest.raises(BundleBroken, match="files or"):
        files_below(many)


def test_objects_that_read_the_same_everywhere() -> None:
    assert parse_object(b'{"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]}', HERE) == {
        "a": {"b": 1},
        "c": [{"b": 1}, {"b": 2}],
    }
    for raw in (b'{"a": 1, "a": 1}', b'{"c": [{"b": 1, "b": 2}]}', b'{"a": Infinity}'):
        with pytest.raises(BundleBroken, match="JSON"):
            parse_object(raw, HERE)
