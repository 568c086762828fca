"""Every file once and no link; what cannot be listed or went away is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from so8t.operate.walk import walk


def names(*folders: Path, **options: object) -> list[str]:
    return [entry.name for entry in walk(list(folders), **options)]  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2", "b/1", "a", ".hidden/3"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "tree"


def test_every_file_once(tree: Path) -> None:
    assert sorted(names(tree)) == ["1", "2", "3", "a"]
    assert names(tree, left_out=lambda name: name.startswith(".")) == ["a", "1", "2"]
    assert names(tree / "none", tree / "a", tree / "b") == ["1", "2"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_no_link_no_pipe(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    (tree / "to-folder").symlink_to(tmp_path / "outside")
    (tree / "to-file").symlink_to(tmp_path / "outside" / "secret")
    (tree / "round").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    assert sorted(names(tree)) == ["1", "2", "3", "a"]


def test_what_goes_away_meanwhile(tree: Path) -> None:
    found = walk([tree], lambda name: name.startswith("."))
    assert next(found).name == "a"
    for name in ("1", "2"):
        (tree / "b" / name).unlink()
    (tree / "b").rmdir()
    assert list(found) == []
