"""A Whisper trained for these tests, once: about half a minute."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_whisper import trained

    return trained(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def ears_copy(whisper: Path, tmp_path: Path) -> Callable[[], Path]:
    """A copy of its folder that a test may spoil."""

    def made() -> Path:
        return Path(shutil.copytree(whisper, tmp_path / f"ears-{len(os.listdir(tmp_path))}"))

    return made
