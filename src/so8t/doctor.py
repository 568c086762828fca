"""Will it work here? Python, packages, torch and CUDA, disk, memory, loopback ports (SPEC O13). Loads no torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from so8t.core.config import Config

PACKAGES = {
    "torch": "train", "transformers": "train", "peft": "train", "gguf": "train", "cyllama": "train",
    "xllamacpp": "serve", "aiohttp": "serve", "apsw": "core", "cryptography": "core", "jinja2": "core", "numpy": "core",
}  # fmt: skip
DISK_GIB = {"tiny": 2.0, "micro": 1.0}
DISK_LARGE_GIB = 60.0
DRIVER = 535


@dataclass(frozen=True, slots=True)
class Finding:
    """One examined thing. fatal = what was asked for cannot work."""

    ja: str
    en: str
    detail: str
    ok: bool
    fatal: bool = False

    @property
    def mark(self) -> str:
        return "OK" if self.ok else "NG" if self.fatal else "??"

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def examine(config: Config, runs: Path) -> list[Finding]:
    """Everything that can be known without starting anything."""
    return [
        Finding("Python 3.11 以上", "Python 3.11 or newer", sys.version.split()[0], sys.version_info >= (3, 11), True),
        *_packages(),
        *_gpu(config),
        _disk(config, runs),
        _memory(config),
        _loopback(),
    ]


def _packages() -> list[Finding]:
    found = []
    for name, group in PACKAGES.items():
        present = importlib.util.find_spec(name) is not None
        detail = f"{metadata.version(name)} ({group})" if present else f"({group}) python3 start.py setup"
        found.append(Finding(f"パッケージ {name}", f"package {name}", detail, present, group == "core"))
    return found


def _gpu(config: Config) -> list[Finding]:
    """Driver and torch build must fit; PyPI's Windows wheel of torch is CPU-only."""
    wanted = config.train.quantization != "none"
    program = shutil.which("nvidia-smi")
    if program is None:
        return [Finding("NVIDIA GPU", "NVIDIA GPU", "nvidia-smi: なし / none; CPU", not wanted, False)]
    try:
        command = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        detail = done.stdout.decode("utf-8", "replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        detail = f"nvidia-smi: {type(error).__name__}"
    driver = detail.split(",")[1].strip().split(".")[0] if detail.count(",") >= 2 else ""
    good = driver.isdigit() and int(driver) >= DRIVER
    build = metadata.version("torch") if importlib.util.find_spec("torch") else "-"
    return [
        Finding(f"ドライバ {DRIVER} 以上", f"driver {DRIVER} or newer", detail, good, wanted),
        Finding("CUDA 版の torch", "torch built for CUDA", build, "cpu" not in build, wanted),
    ]


def _disk(config: Config, runs: Path) -> Finding:
    place = runs
    while not place.exists():
        place = place.resolve().parent
    free = shutil.disk_usage(place).free / 2**30
    needed = DISK_GIB.get(config.profile, DISK_LARGE_GIB)
    return Finding(
        "ディスクの空き", "free disk", f"{free:.1f} GiB (>= {needed:g}) {place.resolve()}", free >= needed, True
    )


def _memory(config: Config) -> Finding:
    needed = 6.0 if config.profile in DISK_GIB else 24.0
    total = 0.0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    elif importlib.util.find_spec("psutil"):
        import psutil

        total = psutil.virtual_memory().total / 2**30
    return Finding("メモリ", "memory", f"{total:.1f} GiB (>= {needed:g})", total >= needed)


def _loopback() -> Finding:
    """The model server listens on a free port of 127.0.0.1."""
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
        return Finding("ループバックのポート", "loopback port", "127.0.0.1", True)
    except OSError as error:
        return Finding("ループバックのポート", "loopback port", str(error), False, True)
