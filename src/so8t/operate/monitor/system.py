"""The edge: what the monitor asks of the operating system, and nothing more. Tests have a machine of their own.

psutil for Linux, Windows and macOS; on Linux the path of a program is read from /proc itself, because only there it
says whether the file was deleted. Windows and macOS: unverified on real machines.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from so8t.operate.monitor.finding import said, said_path

Address = tuple[str, int]
State = Literal["listen", "trying", "open", "ended"]
# What is left of a finished connection still tells with whom it was (TIME_WAIT: for a minute).
STATES: dict[str, State] = {
    psutil.CONN_LISTEN: "listen",
    psutil.CONN_SYN_SENT: "trying",
    psutil.CONN_ESTABLISHED: "open",
    psutil.CONN_CLOSE: "ended",
}
USB = Path("/sys/bus/usb/devices")
STORAGE, KEYBOARD, NETWORK = "storage", "keyboard", "network"
# Interface classes of the USB standard that can carry data in or out, or type by themselves.
USB_CLASSES = {"08": STORAGE, "03": KEYBOARD, "02": NETWORK, "0a": NETWORK, "e0": NETWORK}
MOST_MEDIA = 500
DEEPEST = 64  # generations of processes


@dataclass(frozen=True, slots=True)
class Socket:
    """One row of the table of connections. `remote` None for a port that listens; `pid` None: not shown to us."""

    local: Address
    remote: Address | None
    state: State
    pid: int | None = None
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True)
class Program:
    """Who a process is. "" and 0 for what the system does not tell."""

    name: str = ""
    user: str = ""
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Medium:
    """A device that can be taken away. `what`: STORAGE, KEYBOARD, NETWORK, or "" for all others."""

    id: str
    name: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """`exe` "" = has no file (the kernel's threads), None = not shown to us; `own`: is this process ours; `media` None =
    not known here."""

    sockets: Callable[[], Iterable[Socket]]
    pids: Callable[[], Iterable[int]]
    exe: Callable[[int], str | None]
    program: Callable[[int], Program]
    own: Callable[[int], bool]
    addresses: Callable[[], frozenset[str]]
    media: Callable[[], frozenset[Medium] | None]
    writable: Callable[[str], bool]  # may anybody write into the folder of this program
    exists: Callable[[str], bool] = os.path.exists


def this_machine() -> System:
    exe = _exe_linux if sys.platform == "linux" else _exe
    media = _usb if sys.platform == "linux" else _removable
    return System(_sockets, psutil.pids, exe, _program, _own, _addresses, media, _writable)


def plain(host: str) -> str:
    """One spelling for one address: IPv4 inside IPv6 is IPv4, a zone is dropped; "" for what is none."""
    try:
        found = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return ""
    inside = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(inside or found)


def _sockets() -> list[Socket]:
    found = []
    for c in psutil.net_connections("inet"):
        udp = c.type == 2
        if udp and not c.raddr:  # every program that asked something once; it is not known to listen
            continue
        state = "open" if udp else STATES.get(c.status, "ended")
        remote = (plain(c.raddr.ip), c.raddr.port) if c.raddr else None
        found.append(Socket((plain(c.laddr.ip), c.laddr.port), remote, state, c.pid or None, "udp" if udp else "tcp"))
    return found


def _program(pid: int) -> Program:
    """May have ended meanwhile, or be another user's."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return Program(said(process.name()), said(process.username()), process.ppid())
    except (psutil.Error, OSError, KeyError):
        return Program()


def _exe_linux(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except PermissionError:
        return None
    except OSError:
        return ""


def _exe(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).exe())
    except psutil.NoSuchProcess:
        return ""
    except (psutil.Error, OSError):
        return None


def _own(pid: int) -> bool:
    """This server or one that it started. Asked of a few, so from below: all of a large machine's are many."""
    this = os.getpid()
    for _ in range(DEEPEST):
        if pid == this:
            return True
        try:
            pid = psutil.Process(pid).ppid()
        except (psutil.Error, OSError):
            return False
        if pid <= 1:
            break
    return pid == this


def _addresses() -> frozenset[str]:
    """All addresses of this machine."""
    found = {plain(a.address) for several in psutil.net_if_addrs().values() for a in several}
    return frozenset({*found, "127.0.0.1", "::1"} - {""})


def _writable(exe: str) -> bool:
    """Windows has no such bit: there the known folders of processes.py are all we go by."""
    try:
        return os.name != "nt" and bool(os.stat(os.path.dirname(exe) or "/").st_mode & stat.S_IWOTH)
    except OSError:
        return False


def _usb(devices: Path = USB) -> frozenset[Medium] | None:
    """By vendor, product and serial number, as the device gives them. None where the kernel has no USB (containers)."""
    if not devices.is_dir():
        return None
    found = set()
    for device in sorted(devices.iterdir())[:MOST_MEDIA]:
        vendor, product = _value(device / "idVendor"), _value(device / "idProduct")
        if not vendor:  # an interface, not a device
            continue
        classes = {_value(device.parent / entry / "bInterfaceClass") for entry in _interfaces(devices, device.name)}
        kinds = {USB_CLASSES.get(one, "") for one in classes}
        what = next((kind for kind in (STORAGE, NETWORK, KEYBOARD) if kind in kinds), "")
        name = f"{vendor}:{product}:{_value(device / 'serial')}"
        found.add(Medium(name, _value(device / "product"), what))
    return frozenset(found)


def _interfaces(devices: Path, device: str) -> list[str]:
    return [entry.name for entry in devices.glob(f"{device}:*")][:32]


def _value(file: Path) -> str:
    try:
        with file.open("rb") as f:
            return said(f.read(200).decode("utf-8", "replace").strip())
    except OSError:
        return ""


def _removable() -> frozenset[Medium] | None:
    """Windows: drives that Windows calls removable, by letter. Elsewhere nothing is known."""
    if sys.platform != "win32":
        return None
    drives = [p for p in psutil.disk_partitions(all=True) if "removable" in p.opts]
    return frozenset(Medium(said_path(p.device), said(p.fstype), STORAGE) for p in drives[:MOST_MEDIA])
