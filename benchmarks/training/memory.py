"""Resident memory of this process in bytes, now and at its peak (which can be set back on Linux only)."""

from __future__ import annotations

from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
# glibc keeps freed blocks, differently in every run; a child started with these gives every one above 64 KiB back.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


def now() -> int:
    return int(psutil.Process().memory_info().rss)


def forget_peak() -> None:
    """From here on peak() tells what comes after. Without /proc the peak is that of the whole process."""
    if CLEAR.exists():
        CLEAR.write_text("5", encoding="ascii")


def peak() -> int:
    if STATUS.exists():
        for row in STATUS.read_text(encoding="ascii").splitlines():
            if row.startswith("VmHWM:"):
                return int(row.split()[1]) * 1024
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))
