"""Programs from where anybody may write, without a file, and shells where none belongs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_machine import Machine

from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.processes import MOST_SUSPECTS, Programs, bare
from so8t.operate.monitor.system import this_machine


def look(machine: Machine, allowed: tuple[str, ...] = ()) -> list[Finding]:
    return Programs(machine.system(), allowed).look()


@pytest.mark.parametrize(
    ("exe", "kind"),
    [
        ("/usr/bin/python3.11", ""), ("/opt/so8t/.venv/bin/python", ""), ("C:\\Windows\\System32\\svchost.exe", ""),
        ("/home/sato/tmp/x", ""), ("/opt/tmpfiles", ""), ("C:\\Temperature\\x.exe", ""),
        ("/tmp/x", "program_temporary"), ("/var/tmp/a/b", "program_temporary"), ("/dev/shm/x", "program_temporary"),
        ("/run/shm/x", "program_temporary"), ("/private/tmp/x", "program_temporary"),
        ("C:\\Users\\sato\\AppData\\Local\\Temp\\a.exe", "program_temporary"),
        ("c:\\users\\public\\a.exe", "program_temporary"), ("C:\\Windows\\Temp\\a.exe", "program_temporary"),
        ("C:\\Users\\sato\\Downloads\\a.exe", "program_temporary"), ("/srv/open/x", "program_temporary"),
        ("/memfd:x (deleted)", "program_memory"), ("memfd:x", "program_memory"),
        ("/usr/bin/gone (deleted)", "program_deleted"), ("/usr/bin/updated (deleted)", ""),
    ],
)  # fmt: skip
def test_where_a_program_runs_from(exe: str, kind: str) -> None:
    machine = Machine(loose=("/srv/open",), there={"/usr/bin/updated"})
    machine.runs(7, exe)
    assert [f.kind for f in look(machine)] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("parent", "child", "severity"),
    [
        ("C:/Office/WINWORD.EXE", "C:/Windows/System32/cmd.exe", Severity.CRITICAL),
        ("/usr/lib/libreoffice/soffice.bin", "/usr/bin/dash", Severity.CRITICAL),
        ("C:/x/EXCEL.EXE", "C:/Windows/rundll32.exe", Severity.CRITICAL),
        ("/usr/sbin/nginx", "/bin/sh", Severity.WARNING), ("/usr/sbin/php-fpm8.2", "/bin/bash", Severity.WARNING),
        ("/usr/bin/ollama", "/bin/sh", Severity.WARNING), ("/usr/sbin/sshd", "/bin/bash", None),
        ("/usr/sbin/nginx", "/usr/sbin/nginx", None), ("/usr/sbin/cron", "/bin/sh", None),
    ],
)  # fmt: skip
def test_who_starts_a_shell(parent: str, child: str, severity: Severity | None) -> None:
    machine = Machine()
    machine.runs(50, parent)
    machine.runs(51, child, parent=50)
    assert [f.severity for f in look(machine) if f.kind == "shell"] == ([severity] if severity else [])


def test_a_shell_of_our_own_server() -> None:
    machine = Machine()
    machine.runs(10, "/opt/so8t/.venv/bin/python")
    machine.runs(60, "/bin/dash", "backup.sh", parent=10)  # a script: called by its own name
    (finding,) = look(machine)
    assert finding.kind == "shell" and finding.severity is Severity.CRITICAL
    assert finding.facts["parent_pid"] == 10 and finding.subject == "python > backup.sh"


def test_each_program_once_and_again_when_it_becomes_another() -> None:
    machine = Machine()
    machine.runs(7, "/tmp/x")
    programs = Programs(machine.system())
    assert len(programs.look()) == 1 and programs.look() == []
    machine.runs(7, "/tmp/y")  # exec
    assert [f.subject for f in programs.look()] == ["/tmp/y"]
    machine.exes.clear()
    assert programs.look() == []
    machine.runs(7, "/tmp/y")
    assert len(programs.look()) == 1


def test_what_is_not_shown_is_counted() -> None:
    machine = Machine()
    machine.runs(7, None)
    machine.runs(8, "")  # a thread of the kernel
    programs = Programs(machine.system())
    assert programs.look() == [] and programs.unseen == 1


def test_allowed_programs() -> None:
    machine = Machine()
    machine.runs(7, "/tmp/build-1/cc")
    assert look(machine, ("/tmp/build-*",)) == [] and len(look(machine, ("/var/*",))) == 1


def test_none_of_a_thousand_is_lost() -> None:
    machine = Machine()
    for pid in range(1000, 2000):
        machine.runs(pid, f"/tmp/{pid}")
    programs = Programs(machine.system())
    looks = [programs.look() for _ in range(8)]
    assert max(map(len, looks)) <= MOST_SUSPECTS
    assert {f.facts["pid"] for found in looks for f in found} == set(range(1000, 2000))


@pytest.mark.parametrize(
    ("name", "plain"),
    [("C:\\Office\\WINWORD.EXE", "winword"), ("/usr/bin/php-fpm8.2", "php-fpm"), ("sh", "sh"), ("7", "7"), ("", "")],
)
def test_bare_names(name: str, plain: str) -> None:
    assert bare(name) == plain


@pytest.mark.skipif(sys.platform != "linux", reason="the path of a deleted program is told by Linux alone")
def test_a_real_program_whose_file_was_deleted(tmp_path: Path) -> None:
    copy = Path(shutil.copy("/bin/sleep", tmp_path / "quiet"))
    process = subprocess.Popen([str(copy), "60"])
    try:
        programs = Programs(this_machine())
        mine = [f for f in programs.look() if f.facts["pid"] == process.pid]
        assert [f.kind for f in mine] in ([], ["program_temporary"])  # by where the tests' folder lies
        copy.unlink()
        (gone,) = [f for f in programs.look() if f.facts["pid"] == process.pid]
        assert gone.kind == "program_deleted" and gone.subject == str(copy)
    finally:
        process.kill()
        process.wait()
