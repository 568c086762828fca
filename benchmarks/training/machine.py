"""What every benchmark says of the machine it ran on: processor, versions, date, and how busy it was."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "trl", "so8t")


def facts() -> dict[str, Any]:
    """Call it at the start: `load` is the one-minute load average then, before the benchmark adds its own."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "load": load(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def load() -> float | None:
    """One-minute load average; None where the system has none (Windows)."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def wait_until_quiet(patience: float, below: float = 1.0) -> None:
    """Until the load average is below `below`, but `patience` seconds at most. Two threads need a free machine."""
    end = time.monotonic() + patience
    while (load() or 0.0) >= below and time.monotonic() < end:
        time.sleep(5)


def line(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['date']} | {found['cpu']}, {found['cores']} cores, load {found['load']} | {versions}"


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for row in path.read_text(encoding="utf-8").splitlines():
            if row.startswith("model name"):
                return row.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
