"""The edge: what the monitor asks of the operating system, and nothing more. Tests have a machine of their own.

psutil for Linux, Windows and macOS; on Linux the path of a program is read from /proc itself, because only there it
says whether the file was deleted. Windows and macOS: unverified on real machines.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Literal

import psutil

from so8t.operate.monitor.devices import Medium, UsbDevices, removable_drives
from so8t.operate.monitor.finding import said

Address = tuple[str, int]
State = Literal["listen", "trying", "open", "ended"]
# What is left of a finished connection still tells with whom it was (TIME_WAIT: for a minute).
STATES: dict[str, State] = {
    psutil.CONN_LISTEN: "listen",
    psutil.CONN_SYN_SENT: "trying",
    psutil.CONN_ESTABLISHED: "open",
    psutil.CONN_CLOSE: "ended",
}
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
class System:
    """`exe` "" = has no file (the kernel's threads), None = not shown to us; `own`: is this process ours; `media`:
    None = not known here."""

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
    media = UsbDevices() if sys.platform == "linux" else removable_drives
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
    """This server or one that it started."""
    return descends(pid, {os.getpid()})


def descends(pid: int, roots: Container[int]) -> bool:
    """Whether a process is one of these or of their offspring. Asked of a few, so from below: a large machine has many
    processes."""
    for _ in range(DEEPEST):
        if pid in roots:
            return True
        if pid <= 0:
            break
        try:
            pid = psutil.Process(pid).ppid()
        except (psutil.Error, OSError):
            break
    return False


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
