"""USB devices out of a folder like the kernel's; and drives out of what Windows tells."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from so8t.operate.monitor import devices
from so8t.operate.monitor.devices import Medium, UsbDevices, removable_drives


def plug(folder: Path, entry: str, vendor: str, product: str, name: str, *classes: str, serial: str = "") -> None:
    (folder / entry).mkdir(parents=True)
    for file, value in (("idVendor", vendor), ("idProduct", product), ("product", name), ("serial", serial)):
        if value:
            (folder / entry / file).write_text(value + "\n", encoding="utf-8")
    for number, one in enumerate(classes):
        (folder / f"{entry}:1.{number}").mkdir()
        (folder / f"{entry}:1.{number}" / "bInterfaceClass").write_text(one + "\n")


def test_what_is_plugged_in(tmp_path: Path) -> None:
    plug(tmp_path, "usb1", "1d6b", "0002", "xHCI Host Controller", "09")
    plug(tmp_path, "1-1", "0781", "5581", "Ultra", "08", serial="4C53")
    plug(tmp_path, "1-2", "046d", "c31c", "Keyboard", "03", "03")
    plug(tmp_path, "1-3", "0bda", "8153", "LAN and disk", "ff", "0a", "08")
    assert UsbDevices(tmp_path)() == {
        Medium("1d6b:0002:", "xHCI Host Controller"), Medium("0781:5581:4C53", "Ultra", "storage"),
        Medium("046d:c31c:", "Keyboard", "keyboard"), Medium("0bda:8153:", "LAN and disk", "storage"),
    }  # fmt: skip


def test_plugging_in_and_out_is_seen_and_nothing_else_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb, read = UsbDevices(tmp_path), list[str]()
    real = UsbDevices._value
    monkeypatch.setattr(
        UsbDevices, "_value", lambda self, entry, name: (read.append(entry), real(self, entry, name))[1]
    )
    plug(tmp_path, "1-1", "0781", "5581", "Ultra", "08")
    assert len(usb() or ()) == 1 and read
    read.clear()
    assert len(usb() or ()) == 1 and not read
    shutil.rmtree(tmp_path / "1-1")
    shutil.rmtree(tmp_path / "1-1:1.0")
    plug(tmp_path, "1-1", "aaaa", "bbbb", "another one in the same place", "08")
    assert [m.id for m in usb() or ()] == ["aaaa:bbbb:"] and read


def test_what_a_device_calls_itself_is_no_danger(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", "0781", "5581", "x\x1b[31m" + "y" * 500, "08", serial="\x00\x07")
    (found,) = UsbDevices(tmp_path)() or ()
    assert found.name.isprintable() and len(found.name) == 100 and found.id.isprintable()


def test_no_usb_at_all(tmp_path: Path) -> None:
    assert UsbDevices(tmp_path / "none")() is None


def test_drives_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sys.platform == "win32" or removable_drives() is None
    drives = [
        SimpleNamespace(device="C:\\", fstype="NTFS", opts="rw,fixed"),
        SimpleNamespace(device="E:\\", fstype="FAT32", opts="rw,removable"),
    ]
    monkeypatch.setattr(devices, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: drives)
    assert removable_drives() == {Medium("E:\\", "FAT32", "storage")}
