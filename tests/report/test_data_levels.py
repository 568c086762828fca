"""The table of levels has one order: sets, whose order changes from process to process, leave no trace."""

from __future__ import annotations

import os
import subprocess
import sys

PRINT = """
from so8t.report.data_levels import levels_section
names = ["公開", "部外秘", "極秘", "甲", "乙", "丙"]
print(levels_section({"levels": [[a, b, "DENY", 1] for a in names for b in names]}, "ja"))
"""


def printed(seed: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-c", PRINT], capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed}
    ).stdout


def test_the_same_bytes_in_every_process() -> None:
    first = printed("1")
    assert "極秘".encode() in first and "丙".encode() in first
    assert {printed(seed) for seed in "234"} == {first}
