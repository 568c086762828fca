"""so8t selftest journald: what the service relies on, tried on the systemd and the journal of this Linux."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.errors import PackageMissing, ServiceFailed
from so8t.core.selftest import Check, Figures, Result, Skip, Wrong
from so8t.operate.eventlog.event import IDENTIFIER, Event
from so8t.operate.eventlog.journald_sink import SOCKET, JournaldSink
from so8t.operate.eventlog.syslog_sink import SEVERITIES
from so8t.operate.service.selftest import four_events, new_token, require, run_checks, until
from so8t.operate.service.service import State
from so8t.operate.service.systemd import BACKUP, NIGHTLY, SERVER, SystemdService

SECONDS = 30.0
MAX_BYTES = 1 << 20
BOOTED = Path("/run/systemd/system")  # sd_booted(3)


@dataclass(slots=True)
class JournalBench:
    """`socket` and `namespace`: of the journal; tests have one of their own (systemd-journald.service(8))."""

    service: SystemdService
    socket: str = SOCKET
    namespace: str = ""
    token: str = field(default_factory=new_token)
    written: list[Event] = field(default_factory=list)
    read: list[dict[str, Any]] = field(default_factory=list)


def selftest(bench: JournalBench, tell: Callable[[Result], None]) -> dict[str, Any]:
    """The report. The four events stay in the journal."""
    return run_checks("so8t selftest journald", bench, CHECKS, tell, bench.token)


def write(bench: JournalBench) -> Figures:
    if not Path(bench.socket).exists():
        raise Wrong(f"{bench.socket}: no journal here")
    events = four_events(bench.token)
    JournaldSink(bench.socket).write(events)
    bench.written = events
    return {"written": len(events), "request": bench.token}


def read_back(bench: JournalBench) -> Figures:
    """Each once, with its fields, and with this process as its sender as the journal itself has seen it."""
    if not bench.written:
        raise Skip("nothing was written")
    bench.read = until(lambda: _entries(bench), len(bench.written))
    if not bench.read:
        raise Wrong("nothing to be seen under this number: run it as root, or as a member of systemd-journal")
    found = {tuple(entry.get(name) for name in _FIELDS) for entry in bench.read}
    expected = {_as_shown(event) for event in bench.written}
    require([f"{len(bench.read)} entries"] if len(bench.read) != len(expected) else [])
    require(f"missing or changed: {row[0]}" for row in sorted(expected - found))
    return {"read": len(bench.read), "ids": " ".join(sorted(row[0] for row in expected))}


_FIELDS = ("SO8T_EVENT_ID", "SO8T_EVENT", "SO8T_REQUEST", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_PID", "_UID")


def _as_shown(event: Event) -> tuple[str, ...]:
    return (
        str(int(event.id)), event.id.name, event.request_id, event.message, str(SEVERITIES[event.id]), IDENTIFIER,
        str(os.getpid()), str(os.geteuid()),
    )  # fmt: skip


def _entries(bench: JournalBench) -> list[dict[str, Any]]:
    namespace = [f"--namespace={bench.namespace}"] if bench.namespace else []
    asked = ["--no-pager", "-o", "json", "-n", "100", f"SO8T_REQUEST={bench.token}"]
    lines = _called("journalctl", [*namespace, *asked])
    return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]


def units(bench: JournalBench) -> Figures:
    """systemd itself finds no fault with the installed units."""
    _installed(bench)
    folder = bench.service.places.units or Path()
    files = [folder / name for name in (SERVER, BACKUP, NIGHTLY) if (folder / name).is_file()]
    _called("systemd-analyze", [*(["--user"] if bench.service.user else []), "verify", *map(str, files)])
    return {"units": len(files)}


def service(bench: JournalBench) -> Figures:
    state = _installed(bench)
    require([] if state.autostart else ["does not start with the system"])
    return {"state": state.condition, "account": state.account}


def rights(bench: JournalBench) -> Figures:
    """The data are the account's alone; what it reads can be changed by nobody else."""
    _installed(bench)
    about = bench.service
    owner = os.geteuid() if about.user else pwd.getpwnam(about.account).pw_uid
    if not about.places.data.is_dir():
        raise Skip(f"{about.places.data}: made at the first start")
    found = about.places.data.stat()
    require([] if found.st_uid == owner else [f"{about.places.data}: owner {found.st_uid}"])
    require([] if not found.st_mode & 0o077 else [f"{about.places.data}: mode {stat.S_IMODE(found.st_mode):o}"])
    read = [about.config, about.program.python, about.program.source]
    require(f"{p}: others may write" for p in read if p.exists() and p.stat().st_mode & stat.S_IWOTH)
    return {"data": str(about.places.data), "mode": f"{stat.S_IMODE(found.st_mode):o}"}


def _installed(bench: JournalBench) -> State:
    if not BOOTED.is_dir() and not bench.service.user:
        raise Skip("systemd does not run this machine")
    try:
        state = bench.service.status()
    except (PackageMissing, ServiceFailed) as error:
        raise Skip(" ".join(error.detail.split())[:200]) from error
    if state.condition == "absent":
        raise Skip("the service is not installed")
    return state


def _called(name: str, arguments: list[str]) -> str:
    """Raises Skip without the program, Wrong with its words when it fails."""
    program = shutil.which(name)
    if program is None:
        raise Skip(f"no {name} here")
    done = subprocess.run(
        [program, *arguments], capture_output=True, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode or len(done.stdout) > MAX_BYTES:
        said = done.stderr.decode("utf-8", "replace").split()
        raise Wrong(f"{name}: {' '.join(said)[-300:] or done.returncode}")
    return done.stdout.decode("utf-8", "replace")


CHECKS: tuple[Check[JournalBench, Figures], ...] = (
    Check("write", "1001 から 1004 の四つを journald に書く", "write 1001 to 1004 to the journal", write),
    Check("read", "四つを読み戻す(項目、送り手、一度ずつ)", "read the four back: fields, sender, each once", read_back),
    Check("units", "登録した設定に、systemd の指摘がない", "systemd finds no fault with the units", units),
    Check("service", "サービスの登録(自動開始)", "the service as installed", service),
    Check("rights", "フォルダの権限", "rights of the folders", rights),
)
