"""Devices that can be taken away, as the system tells of them: USB on Linux, removable drives on Windows (unverified
there); elsewhere nothing is known.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from so8t.operate.monitor.finding import said, said_path

USB = Path("/sys/bus/usb/devices")
STORAGE, KEYBOARD, NETWORK = "storage", "keyboard", "network"
# Classes of interfaces (usb.org, "Defined Class Codes") that carry data in or out, or type by themselves.
CLASSES = {"08": STORAGE, "03": KEYBOARD, "02": NETWORK, "0a": NETWORK, "e0": NETWORK}
MOST = 500


@dataclass(frozen=True, slots=True)
class Medium:
    """A device that can be taken away. `what`: STORAGE, KEYBOARD, NETWORK, or "" for all others."""

    id: str
    name: str = ""
    what: str = ""


@dataclass(slots=True)
class UsbDevices:
    """Called for what is plugged in: by vendor, product and serial number, as each device gives them; None where the
    kernel has no USB (containers). Read anew only when something was plugged in or out."""

    folder: Path = USB
    _entries: frozenset[tuple[str, int, int]] = frozenset()
    _found: frozenset[Medium] = field(default_factory=frozenset)

    def __call__(self) -> frozenset[Medium] | None:
        try:
            names = sorted(os.listdir(self.folder))[: 8 * MOST]
            stats = [(self.folder / name).stat() for name in names]
        except FileNotFoundError:  # also one that was pulled out just now: the next look sees it
            return self._found if self.folder.is_dir() else None
        entries = frozenset((n, s.st_ino, s.st_ctime_ns) for n, s in zip(names, stats, strict=True))
        if entries != self._entries:
            self._found = frozenset(self._read(names))
            self._entries = entries
        return self._found

    def _read(self, names: list[str]) -> list[Medium]:
        found = []
        for device in [name for name in names if ":" not in name][:MOST]:
            vendor, product = self._value(device, "idVendor"), self._value(device, "idProduct")
            if not vendor:
                continue
            interfaces = [name for name in names if name.startswith(f"{device}:")]
            kinds = {CLASSES.get(self._value(name, "bInterfaceClass"), "") for name in interfaces}
            what = next((kind for kind in (STORAGE, NETWORK, KEYBOARD) if kind in kinds), "")
            number = f"{vendor}:{product}:{self._value(device, 'serial')}"
            found.append(Medium(number, self._value(device, "product"), what))
        return found

    def _value(self, entry: str, name: str) -> str:
        try:
            with (self.folder / entry / name).open("rb") as f:
                return said(f.read(200).decode("utf-8", "replace").strip())
        except OSError:
            return ""


def removable_drives() -> frozenset[Medium] | None:
    """Drives that Windows calls removable, by letter."""
    if sys.platform != "win32":
        return None
    drives = [drive for drive in psutil.disk_partitions(all=True) if "removable" in drive.opts]
    return frozenset(Medium(said_path(drive.device), said(drive.fstype), STORAGE) for drive in drives[:MOST])
