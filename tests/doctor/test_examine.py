"""Everything together, and the packages; nothing is started to find out."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from so8t.core.config import load_config, profile_names
from so8t.doctor import packages
from so8t.doctor.examine import examine
from so8t.doctor.finding import Finding
from so8t.doctor.packages import examine_packages


@pytest.mark.parametrize("profile", profile_names())
def test_every_profile(tmp_path: Path, profile: str) -> None:
    found = examine(load_config(profile), tmp_path / "runs")
    assert len({f.en for f in found}) == len({f.ja for f in found}) == len(found) > 15
    assert all(f.ja and f.en and f.detail for f in found)
    for f in found:
        assert f.ok or (f.advice("ja") and f.advice("en")), f
        assert f.to_json()["ok"] is f.ok


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, pick: Any) -> None:
    real = importlib.util.find_spec
    gone = ("torch", "apsw")
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name in gone else real(name))
    found = examine_packages()
    apsw, torch = pick(found, "package apsw"), pick(found, "package torch")
    assert (apsw.ok, apsw.mark) == (False, "NG") and "setup" in apsw.advice("ja")
    assert (torch.ok, torch.mark) == (False, "??")  # a server needs none
    assert pick(found, "Python").ok


def test_marks() -> None:
    made = Finding("あ", "a", "d", True, next_ja="直す", next_en="repair")
    assert made.mark == "OK" and made.advice("ja") == ""
    assert (
        dataclasses.replace(made, ok=False).mark == "??" and dataclasses.replace(made, ok=False).advice("ja") == "直す"
    )
    assert dataclasses.replace(made, ok=False, fatal=True).mark == "NG"
