"""The folder of runs, tried out."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.core.config import Config, load_config
from so8t.doctor import storage
from so8t.doctor.finding import Finding
from so8t.doctor.storage import examine_storage

Usage = namedtuple("Usage", "total used free")
Pick = Callable[[list[Finding], str], Finding]


def test_this_disk(tmp_path: Path, micro_config: Config) -> None:
    found = examine_storage(micro_config, tmp_path / "runs" / "not" / "yet")
    assert all(f.ok for f in found if not f.en.startswith(("upper", "paths"))) and len(found) == 6
    assert list(tmp_path.iterdir()) == []  # nothing is left behind, and no folder of runs is made


@pytest.mark.parametrize(("share", "ok"), [(0.9, False), (1.2, True)])
def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pick: Pick, share: float, ok: bool) -> None:
    config = load_config("phi4-mini-12gb")
    free = share * storage.disk_bytes(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    found = pick(examine_storage(config, tmp_path / "a"), "free disk")
    assert (found.ok, found.fatal) == (ok, True) and str(tmp_path) in found.detail
    assert pick(examine_storage(load_config("tiny"), tmp_path), "free disk").ok


def test_a_folder_that_may_not_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, pick: Pick
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    found = pick(examine_storage(micro_config, tmp_path), "writing")
    assert found.mark == "NG" and "PermissionError" in found.detail and "--runs" in found.advice("en")


def test_a_disk_that_cannot_rename(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, pick: Pick
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "cross-device")

    monkeypatch.setattr(os, "replace", refuse)
    assert pick(examine_storage(micro_config, tmp_path), "a rename").mark == "NG"
    monkeypatch.setattr(os, "replace", shutil.copy)  # leaves the old file where it was
    assert pick(examine_storage(micro_config, tmp_path), "a rename").mark == "NG"


def test_long_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, pick: Pick) -> None:
    real = Path.mkdir

    def short(self: Path, *arguments: Any, **options: Any) -> None:
        if len(str(self)) > 259:
            raise FileNotFoundError(206, "the file name is too long")
        real(self, *arguments, **options)

    assert pick(examine_storage(micro_config, tmp_path), "paths of 300").ok
    monkeypatch.setattr(Path, "mkdir", short)
    found = pick(examine_storage(micro_config, tmp_path), "paths of 300")
    assert found.mark == "??" and "LongPathsEnabled" in found.advice("ja")


def test_letter_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, pick: Pick) -> None:
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: real(self.with_name(self.name.lower())))
    assert pick(examine_storage(micro_config, tmp_path), "upper and lower").mark == "??"


@pytest.mark.parametrize("shift", [-20 * 365 * 86400.0, 3600.0, -3600.0])
def test_a_clock_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, pick: Pick, shift: float
) -> None:
    assert pick(examine_storage(micro_config, tmp_path), "clock").ok
    now = time.time
    monkeypatch.setattr(storage.time, "time", lambda: now() + shift)
    assert pick(examine_storage(micro_config, tmp_path), "clock").mark == "??"
