"""The self-test of Linux over a journal of our own, and, for root, over a real systemd-journald."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_journal import Journal, running_journal
from fake_systemctl import STATE, install_fake

from so8t.core.selftest import Result
from so8t.operate.service.places import Places
from so8t.operate.service.service import Program, perform
from so8t.operate.service.systemd import SystemdService

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="journald")
if sys.platform == "linux":
    from so8t.operate.service import selftest_journald
    from so8t.operate.service.selftest_journald import JournalBench, selftest

NAMES = ["write", "read", "units", "service", "rights"]
JOURNALD = Path("/lib/systemd/systemd-journald")


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    folder = tmp_path / "j"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr("so8t.operate.service.selftest.PAUSE_SECONDS", 0.01)
    with running_journal(folder) as running:
        yield running


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdService:
    """Of this user, installed over a systemctl of our own; systemd-analyze is the real one where there is one."""
    programs, units = tmp_path / "programs", tmp_path / "units"
    for folder in (programs, units):
        folder.mkdir()
    install_fake(programs)
    state = tmp_path / "state.json"
    state.write_text(f'{{"calls":[],"fail":{{}},"enabled":{{}},"active":{{}},"becomes":[],"units":"{units}"}}')
    monkeypatch.setenv(STATE, str(state))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("python", "so8t"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    config = tmp_path / "so8t.toml"
    config.touch()
    places = Places(config, config, tmp_path / "bundle", tmp_path / "data", (), units=units)
    program = Program(programs / "python", programs / "python", programs, programs)
    return SystemdService(places, program, config, places.bundle, ("--config", str(config)), user=True)


def outcome(bench: JournalBench) -> tuple[dict[str, str], dict[str, Any]]:
    told: list[Result] = []
    report = selftest(bench, told.append)
    assert [r.name for r in told] == NAMES
    return {c["name"]: c["status"] for c in report["checks"]}, report


def test_all_is_well(journal: Journal, service: SystemdService) -> None:
    perform(service.installation(), lambda step: None)
    found, report = outcome(JournalBench(service, str(journal.socket)))
    expected = dict.fromkeys(NAMES, "passed")
    if shutil.which("systemd-analyze") is None:
        expected["units"] = "skipped"
    assert found == expected, report


def test_without_the_service_only_the_journal_is_tried(journal: Journal, service: SystemdService) -> None:
    found, _ = outcome(JournalBench(service, str(journal.socket)))
    assert found == dict(zip(NAMES, ["passed", "passed", "skipped", "skipped", "skipped"], strict=True))


def test_no_journal(service: SystemdService, tmp_path: Path) -> None:
    found, report = outcome(JournalBench(service, str(tmp_path / "none")))
    assert (found["write"], found["read"]) == ("failed", "skipped") and report["failed"] == 1


CHANGES: dict[str, Callable[[dict[str, str]], list[dict[str, str]]]] = {
    "lost": lambda e: [] if e["SO8T_EVENT_ID"] == "1003" else [e],
    "all lost": lambda e: [],
    "twice": lambda e: [e, e],
    "another sender": lambda e: [e | {"_PID": "1"}],
    "another user": lambda e: [e | {"_UID": "4711"}],
    "another text": lambda e: [e | {"MESSAGE": e["MESSAGE"] + " "}],
    "another priority": lambda e: [e | {"PRIORITY": "7"}],
    "a number": lambda e: [e | {"MESSAGE": 1}],  # type: ignore[dict-item]
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_journal_that_keeps_something_else(journal: Journal, service: SystemdService, change: str) -> None:
    journal.change = CHANGES[change]
    assert outcome(JournalBench(service, str(journal.socket)))[0]["read"] == "failed"


def test_a_journalctl_that_refuses_or_floods(
    journal: Journal, service: SystemdService, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = journal.socket.parent / "journalctl"
    program.write_text("#!/bin/sh\necho 'No journal files were opened due to insufficient permissions.' >&2\nexit 1\n")
    _, report = outcome(JournalBench(service, str(journal.socket)))
    assert "insufficient permissions" in report["checks"][1]["reason"]
    monkeypatch.setattr(selftest_journald, "MAX_BYTES", 3)
    program.write_text("#!/bin/sh\necho '{}{}'\n")
    assert outcome(JournalBench(service, str(journal.socket)))[0]["read"] == "failed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_a_unit_that_systemd_would_not_run(journal: Journal, service: SystemdService) -> None:
    perform(service.installation(), lambda step: None)
    assert service.places.units is not None
    (service.places.units / "so8t.service").write_text("[Service]\nExecStart=relative\n")
    assert outcome(JournalBench(service, str(journal.socket)))[0]["units"] == "failed"


@pytest.mark.parametrize("change", ["mode", "config", "autostart"])
def test_what_was_changed_since(journal: Journal, service: SystemdService, change: str) -> None:
    perform(service.installation(), lambda step: None)
    if change == "mode":
        service.places.data.chmod(0o755)
    if change == "config":
        service.config.chmod(0o666)
    if change == "autostart":
        subprocess.run(["systemctl", "--user", "disable", "so8t.service"], check=True, timeout=60)
    found, _ = outcome(JournalBench(service, str(journal.socket)))
    assert found["service" if change == "autostart" else "rights"] == "failed"


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[str]:
    """The name of a real journal of its own, beside the system's (systemd-journald@.service)."""
    name = f"so8t{secrets.token_hex(4)}"
    made = [Path("/run/systemd") / f"journal.{name}", *(Path(p) for p in ("/var/log/journal", "/run/log/journal"))]
    there = {p: p.exists() for p in made}
    daemon = subprocess.Popen([str(JOURNALD), name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while not (made[0] / "socket").exists() and time.monotonic() < end and daemon.poll() is None:
            time.sleep(0.05)
        if not (made[0] / "socket").exists():
            pytest.skip("systemd-journald does not start here")
        yield name
    finally:
        daemon.terminate()
        daemon.wait(20)
        shutil.rmtree(made[0], ignore_errors=True)
        for folder in made[1:]:
            for own in folder.glob(f"*.{name}"):
                shutil.rmtree(own, ignore_errors=True)
            if not there[folder] and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(
    not JOURNALD.exists() or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root and systemd-journald"
)
def test_on_a_real_journald(service: SystemdService, journald: str) -> None:
    """Written through its own socket, read back by its own journalctl, with the sender that the kernel names."""
    bench = JournalBench(service, f"/run/systemd/journal.{journald}/socket", journald)
    found, report = outcome(bench)
    assert (found["write"], found["read"]) == ("passed", "passed"), report
    assert {e["_TRANSPORT"] for e in bench.read} == {"journal"} and len(bench.read) == 4
