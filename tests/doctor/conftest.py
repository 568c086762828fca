"""A program named nvidia-smi in front of the real one, if there is any."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from so8t.doctor.finding import Finding

Smi = Callable[[str], None]
Pick = Callable[[list[Finding], str], Finding]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    """Put a shell script under the name of nvidia-smi; "" = there is none."""
    if os.name == "nt":
        pytest.skip("the fake is a shell script")
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(body: str) -> None:
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin" if body else str(folder))
        if body:
            program = folder / "nvidia-smi"
            program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            program.chmod(0o755)

    return install


def line(
    driver: str = "550.54.15", total: int = 12288, free: int = 12000, capability: str = "8.6", name: str = "RTX 3080"
) -> str:
    return f"echo 'NVIDIA GeForce {name}, {driver}, {total}, {free}, {capability}'"


@pytest.fixture
def card() -> Callable[..., str]:
    """The line of a script that prints one card."""
    return line


@pytest.fixture
def pick() -> Pick:
    """The finding whose English name begins so."""

    def find(found: list[Finding], en: str) -> Finding:
        return next(f for f in found if f.en.startswith(en))

    return find
