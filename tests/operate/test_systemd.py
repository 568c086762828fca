"""The systemd units: systemd finds no fault with them, they are hardened, and what they start exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from so8t.cli import build_parser
from so8t.core.packaged import packaged

NAMES = ("so8t.service", "so8t-backup.service", "so8t-backup.timer")
PROGRAM = "/opt/so8t/.venv/bin/so8t"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


def settings(name: str) -> dict[str, list[str]]:
    text = packaged("systemd", name).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"([A-Z]\w+)=(.*)$", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """As they are, but for the program, which lies elsewhere on this machine."""
    made = []
    for name in NAMES:
        text = packaged("systemd", name).read_text(encoding="utf-8")
        text = re.sub("^Documentation=.*\n", "", text.replace(PROGRAM, sys.executable), flags=re.M)
        made.append(tmp_path / name)
        made[-1].write_text(text, encoding="utf-8")
    return made


@needs_systemd
def test_systemd_finds_no_fault(units: list[Path]) -> None:
    done = subprocess.run(
        [str(ANALYZE), "verify", *map(str, units)], capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert done.returncode == 0 and not re.search("Unknown|Failed to parse|ignoring", done.stderr), done.stderr


@needs_systemd
def test_exposure_is_small(units: list[Path]) -> None:
    """systemd's own score, in tenths: 0 = nothing it could do, 100 = everything."""
    for unit, most in zip(units[:2], ("15", "10"), strict=True):
        done = subprocess.run(
            [str(ANALYZE), "security", "--offline=true", f"--threshold={most}", "--no-pager", str(unit)],
            capture_output=True, encoding="utf-8", check=False, timeout=120,
        )  # fmt: skip
        if "offline" in done.stderr:
            pytest.skip("this systemd-analyze is too old")
        assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("name", NAMES[:2])
def test_what_must_hold(name: str) -> None:
    found = settings(name)
    for key, value in {
        "User": "so8t", "NoNewPrivileges": "true", "ProtectSystem": "strict", "ProtectHome": "true",
        "IPAddressDeny": "any", "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "true", "LimitCORE": "0",
        "UMask": "0077", "PrivateTmp": "true", "StateDirectoryMode": "0700",
    }.items():  # fmt: skip
        assert found[key] == [value], key
    assert found.get("IPAddressAllow", []) in ([], ["localhost"])


def test_the_server_is_started_by_a_command_that_exists() -> None:
    (line,) = settings("so8t.service")["ExecStart"]
    program, *arguments = line.split()
    assert program == PROGRAM
    options = build_parser().parse_args(arguments)
    assert options.config == Path("/etc/so8t/so8t.toml") and options.key and not options.allow_unproven
