"""Programs that should not run here: from where anybody may write, without a file, or a shell where none belongs.

Every program is looked at once, and again when it becomes another (exec). How busy a program is, is no finding. What
this cannot see: programs that come and go between two looks, other users' programs without the administrator's rights
(they are counted), and whatever a rootkit hides from the system's own table.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from so8t.operate.monitor.finding import Facts, Finding, Severity, said_path
from so8t.operate.monitor.system import Program, System

MOST_SUSPECTS = 200
DELETED = " (deleted)"  # what Linux adds to the path of a file that is gone
MEMORY = re.compile(r"/?(?:memfd:|dev/shm/memfd)")
TEMPORARY = re.compile(
    r"/(?:var/|private/|private/var/)?tmp/|/(?:dev|run)/shm/|[a-z]:/windows/temp/|[a-z]:/users/public/"
    r"|[a-z]:/(?:\$recycle\.bin|perflogs)/|[a-z]:/users/[^/]+/(?:appdata/local/temp|downloads)/",
    re.IGNORECASE,
)
# Names as bare() makes them.
SHELLS = frozenset({
    "sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh", "busybox", "cmd", "powershell", "pwsh", "wscript",
    "cscript", "mshta", "rundll", "regsvr", "certutil", "bitsadmin",
})  # fmt: skip
OFFICE = frozenset({
    "winword", "excel", "powerpnt", "outlook", "onenote", "msaccess", "visio", "mspub", "eqnedt", "acrobat", "acrord",
    "foxitpdfreader", "soffice", "soffice.bin", "thunderbird", "evince", "okular", "taro", "hidemaru",
})  # fmt: skip
SERVERS = frozenset({
    "nginx", "httpd", "apache", "w3wp", "lighttpd", "caddy", "php-fpm", "mysqld", "mariadbd", "postgres", "sqlservr",
    "redis-server", "ollama", "llama-server", "tomcat",
})  # fmt: skip


@dataclass(slots=True)
class Programs:
    """`allowed`: patterns of paths that are in order. `unseen`: how many programs the system did not show us."""

    system: System
    allowed: Sequence[str] = ()
    unseen: int = 0
    _seen: dict[int, str] = field(default_factory=dict, repr=False)

    def look(self) -> list[Finding]:
        """What is new since the last look and should not be. Raises psutil.Error, OSError."""
        shown = {pid: self.system.exe(pid) for pid in self.system.pids()}
        self.unseen = sum(exe is None for exe in shown.values())
        now = {pid: exe for pid, exe in shown.items() if exe}
        new = [pid for pid, exe in now.items() if self._seen.get(pid) != exe]
        found: list[Finding] = []
        self._seen = {pid: exe for pid, exe in now.items() if self._seen.get(pid) == exe}
        for pid in new:
            if len(found) >= MOST_SUSPECTS:  # the rest is new at the next look too
                break
            if not any(fnmatch.fnmatch(now[pid], pattern) for pattern in self.allowed):
                found += self._judged(pid, now[pid])
            self._seen[pid] = now[pid]
        return found

    def _judged(self, pid: int, exe: str) -> list[Finding]:
        """By its path alone, which is cheap; who it is, is asked of suspects."""
        place, shell = self._place(exe), bare(exe) in SHELLS
        if place is None and not shell:
            return []
        program, found = self.system.program(pid), []
        if place is not None:
            found.append(Finding(*place, said_path(exe.removesuffix(DELETED)), _facts(pid, exe, program)))
        if shell and (severity := self._parent(program)) is not None:
            parent = self.system.program(program.parent)
            facts = _facts(pid, exe, program) | {"parent": parent.name, "parent_pid": program.parent}
            found.append(Finding("shell", severity, f"{parent.name} > {program.name}", facts))
        return found

    def _place(self, exe: str) -> tuple[str, Severity] | None:
        if MEMORY.match(exe):
            return "program_memory", Severity.CRITICAL
        if exe.endswith(DELETED):  # where a new file of that name lies it was an update
            gone = not self.system.exists(exe.removesuffix(DELETED))
            return ("program_deleted", Severity.WARNING) if gone else None
        if TEMPORARY.match(exe.replace("\\", "/")) or self.system.writable(exe):
            return "program_temporary", Severity.WARNING
        return None

    def _parent(self, program: Program) -> Severity | None:
        """How serious it is that this parent has a shell for a child; None = it is its business."""
        if not program.parent:
            return None
        names = {bare(self.system.program(program.parent).name), bare(self.system.exe(program.parent) or "")}
        if names & OFFICE or self.system.own(program.parent):
            return Severity.CRITICAL
        return Severity.WARNING if names & SERVERS else None


def bare(name: str) -> str:
    """A program's name or path without folder, ending and version: C:\\Office\\WINWORD.EXE -> winword"""
    last = name.removesuffix(DELETED).replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")
    return last.rstrip("0123456789.-") or last


def _facts(pid: int, exe: str, program: Program) -> Facts:
    return {"process": program.name, "pid": pid, "user": program.user, "path": said_path(exe)}
