"""What will not work is said before it does not, and nothing is started to find out."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from so8t import doctor
from so8t.core.config import Config, load_config
from so8t.doctor import Finding, examine

Usage = namedtuple("Usage", "total used free")


def finding(found: list[Finding], en: str) -> Finding:
    return next(f for f in found if f.en.startswith(en))


def test_this_machine(tmp_path: Path, micro_config: Config) -> None:
    found = examine(micro_config, tmp_path / "runs" / "not" / "yet")
    assert {f.mark for f in found} <= {"OK", "NG", "??"}
    assert finding(found, "Python").ok and finding(found, "loopback").ok
    assert finding(found, "package apsw").ok and "(core)" in finding(found, "package apsw").detail
    assert all(f.ja and f.en and f.detail for f in found)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config) -> None:
    real = doctor.importlib.util.find_spec
    gone = ("torch", "apsw")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in gone else real(name))
    found = examine(micro_config, tmp_path)
    apsw, torch = finding(found, "package apsw"), finding(found, "package torch")
    assert (apsw.ok, apsw.fatal, apsw.mark) == (False, True, "NG") and "setup" in apsw.detail
    assert (torch.ok, torch.fatal, torch.mark) == (False, False, "??")  # a server needs none


@pytest.mark.parametrize(("free", "ok"), [(0.5, False), (1.5, True)])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config, free: float, ok: bool) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free * 2**30))
    disk = finding(examine(micro_config, tmp_path / "a" / "b"), "free disk")
    assert (disk.ok, disk.fatal) == (ok, True) and str(tmp_path) in disk.detail


def test_a_large_profile_needs_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 10 * 2**30))
    assert not finding(examine(load_config("phi4-mini-12gb"), tmp_path), "free disk").ok
    assert finding(examine(load_config("tiny"), tmp_path), "free disk").ok


def smi(output: str, torch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.metadata.version
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    done = subprocess.CompletedProcess([], 0, output.encode(), b"")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: done)
    monkeypatch.setattr(doctor.metadata, "version", lambda name: torch if name == "torch" else real(name))


@pytest.mark.parametrize(
    ("output", "good"),
    [
        ("NVIDIA RTX 3060, 550.54.15, 12288 MiB\n", True),
        ("NVIDIA RTX 3060, 535.10, 12288 MiB\n", True),
        ("NVIDIA RTX 3060, 470.82, 12288 MiB\n", False),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", False),
        ("", False),
    ],
)
def test_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, good: bool) -> None:
    smi(output, "2.13.0+cu126", monkeypatch)
    driver = finding(examine(load_config("phi4-mini-12gb"), tmp_path), "driver")
    assert (driver.ok, driver.fatal) == (good, True)


@pytest.mark.parametrize(("version", "good"), [("2.13.0+cu126", True), ("2.13.0+cpu", False)])
def test_a_cpu_build_beside_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, good: bool) -> None:
    """PyPI's Windows wheel of torch is CPU-only: the commonest reason why a GPU is not used."""
    smi("NVIDIA RTX 3060, 550.54, 12288 MiB\n", version, monkeypatch)
    build = finding(examine(load_config("phi4-mini-12gb"), tmp_path), "torch built for CUDA")
    assert (build.ok, build.fatal) == (good, True)
    assert finding(examine(load_config("micro"), tmp_path), "torch built for CUDA").fatal is False


@pytest.mark.parametrize("error", [OSError("gone"), subprocess.TimeoutExpired("nvidia-smi", 20)])
def test_a_driver_program_that_hangs_or_breaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", run)
    assert not finding(examine(load_config("micro"), tmp_path), "driver").ok


def test_no_gpu_is_no_fault_unless_one_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert finding(examine(load_config("micro"), tmp_path), "NVIDIA").ok
    assert not finding(examine(load_config("phi4-mini-12gb"), tmp_path), "NVIDIA").ok


def test_no_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_config: Config) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError("refused")

    monkeypatch.setattr(doctor.socket, "socket", Refusing)
    loopback = finding(examine(micro_config, tmp_path), "loopback")
    assert (loopback.ok, loopback.mark) == (False, "NG")


def test_marks() -> None:
    made = Finding("あ", "a", "d", True)
    assert made.mark == "OK" and dataclasses.replace(made, ok=False).mark == "??"
    assert dataclasses.replace(made, ok=False, fatal=True).mark == "NG"
