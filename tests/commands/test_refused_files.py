"""A place where nothing can be written: every verb says which, why and what to do, and none shows a traceback."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from so8t.cli import main
from so8t.commands import plan
from so8t.core.errors import DiskFull, FileRefused
from so8t.core.files import refused

CONFIG = '[serve.search]\nindex = "runs/search.db"\n[[serve.search.folders]]\npath = "docs"\nclassification = "公開"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file stands where the folder of all state would be: refused for root too, unlike a read-only folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "so8t.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("run --profile micro --yes", "S04"),
        ("search --update --config so8t.toml", "S04"),
        ("monitor --accept --config so8t.toml", "S04"),
        ("users list --policy demo", "I07"),
        ("backup keygen --to runs/backup.key", "S20"),
    ],
)
def test_the_place_and_the_reason_are_told(command: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) in (5, 13)
    said = capsys.readouterr().err
    assert f"[{code}]" in said and "runs" in said and "次に" in said and "Traceback" not in said
    assert "Not a directory" in said or "File exists" in said


def test_as_json(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["run", "--profile", "micro", "--yes", "--json"]) == 5
    told = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert told["error"] == "S04" and told["where"].startswith(str(folder)) and told["next"]


def test_what_the_system_says_in_our_words(tmp_path: Path) -> None:
    read_only = refused(OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "a")))
    assert isinstance(read_only, FileRefused) and "Read-only" in read_only.detail and read_only.where.endswith("a")
    assert isinstance(refused(OSError(errno.ENOSPC, "full", "a")), DiskFull)
    assert refused(ConnectionResetError("no file")) is None


def test_an_error_about_no_file_is_a_fault_of_ours_and_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ConnectionResetError("no file")

    monkeypatch.setattr(plan, "plan", broken)
    with pytest.raises(ConnectionResetError):
        main(["plan"])
