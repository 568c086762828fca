"""What the control manager is told while the server starts, runs and stops, by the process that it started."""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_pywin32 import RUNNING, START_PENDING, STOP_PENDING, STOPPED, Windows

from so8t.commands import service_host
from so8t.core.ledger_read import tail
from so8t.core.packaged import packaged
from so8t.operate.service.service import KEEP_DOWN

Served = Callable[[list[str], Callable[[], None], threading.Event], int]
STOP, PRESHUTDOWN, SHUTDOWN = 1, 0x0F, 5


class Ended(Exception):
    """os._exit, with its code."""


class Manager:
    """What pywin32's compiled part does with the class: makes one, runs it in a thread, and says when it is over."""

    def __init__(self, windows: Windows, modules: dict[str, ModuleType], arguments: list[str]) -> None:
        self.windows, self.ended = windows, 0
        framework = modules["win32serviceutil"].ServiceFramework
        made = service_host.service_class(framework, modules["servicemanager"], arguments)
        self.service = made(["so8t"])
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.service.SvcRun()
        except Ended as end:
            self.ended = int(end.args[0])
        else:
            self.windows.SetServiceStatus(None, (0x10, STOPPED, 0, 0, 0, 0, 0))

    def control(self, code: int) -> None:
        assert self.windows.handler is not None
        self.windows.handler(code, 0, None)

    def states(self) -> list[int]:
        """In order, each once."""
        told = [status[1] for status in self.windows.statuses]
        return [s for i, s in enumerate(told) if i == 0 or told[i - 1] != s]

    def join(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def start(
    windows: Windows, pywin32: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Served], Manager]:
    def leave(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr("so8t.commands.service_host.os._exit", leave)
    monkeypatch.setattr(service_host, "TICK_SECONDS", 0.02)

    def started(served: Served) -> Manager:
        monkeypatch.setattr(service_host, "served", served)
        return Manager(windows, pywin32, ["--config", "x"])

    return started


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("code", [STOP, PRESHUTDOWN, SHUTDOWN])
def test_a_whole_life(start: Callable[[Served], Manager], windows: Windows, code: int) -> None:
    begin = threading.Event()

    def served(arguments: list[str], ready: Callable[[], None], stop: threading.Event) -> int:
        assert arguments == ["--config", "x"]
        begin.wait(20)
        ready()
        stop.wait(20)
        time.sleep(0.1)  # answers under way, the ledger
        return 0

    manager = start(served)
    until(lambda: len(windows.statuses) > 3)  # it goes on saying that it starts
    assert {s[1] for s in windows.statuses} == {START_PENDING} and all(s[2] == 0 for s in windows.statuses)
    assert [s[5] for s in windows.statuses[:3]] == [1, 2, 3]  # a check point further each time
    begin.set()
    until(lambda: windows.statuses[-1][1] == RUNNING)
    assert windows.statuses[-1][2] == 1 | 4 | 0x100  # stop, shutdown, and early notice of a shutdown
    manager.control(4)  # interrogate
    assert windows.statuses[-1][1] == RUNNING
    manager.control(code)
    manager.join()
    assert manager.states() == [START_PENDING, RUNNING, STOP_PENDING, STOPPED] and manager.ended == 0
    assert sum(s[1] == STOP_PENDING for s in windows.statuses) > 1


@pytest.mark.parametrize("code", KEEP_DOWN)
def test_what_a_restart_does_not_mend_is_a_stopped_service(
    start: Callable[[Served], Manager], windows: Windows, code: int
) -> None:
    manager = start(lambda arguments, ready, stop: code)
    manager.join()
    assert windows.statuses[-1][1:5] == (STOPPED, windows.statuses[-1][2], 1066, code) and manager.ended == code


@pytest.mark.parametrize("code", [1, 9, 10])
def test_anything_else_ends_without_a_word_and_is_started_again(
    start: Callable[[Served], Manager], windows: Windows, code: int
) -> None:
    manager = start(lambda arguments, ready, stop: code)
    manager.join()
    assert manager.ended == code and STOPPED not in manager.states()


def test_the_two_systems_keep_down_the_same_errors() -> None:
    for name in ("so8t.service", "so8t.user.service"):
        text = packaged("systemd", name).read_text(encoding="utf-8")
        assert f"RestartPreventExitStatus={' '.join(map(str, KEEP_DOWN))}\n" in text


def test_a_missing_configuration_is_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = service_host.served(["--config", str(tmp_path / "none.toml")], lambda: None, threading.Event())
    assert code == 2 and "none.toml" in capsys.readouterr().out


def test_an_error_nobody_expected_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: argparse.Namespace, *given: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("so8t.commands.serve.hosted", broken)
    assert service_host.served([], lambda: None, threading.Event()) == 1
    captured = capsys.readouterr()
    assert "ZeroDivisionError" in captured.err


def test_the_log_is_kept_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_host, "MAX_LOG", 10)
    for n in range(8):
        with service_host.opened_log(tmp_path) as log:
            log.write(f"start {n}, and more than ten\n")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["service.1.log", "service.2.log", "service.3.log", "service.4.log", "service.5.log", "service.log"]
    assert (tmp_path / "service.log").read_text().startswith("start 7")
    assert (tmp_path / "service.5.log").read_text().startswith("start 2")


SERVICE_MANAGER = '''
"""A control manager that starts the service at once and has no more to say."""
import sys, types
made = {}
def Initialize(source, file): made["source"] = (source, file)
def PrepareToHostSingle(cls): made["class"] = cls
def SetEventSourceName(*given): pass
def RegisterServiceCtrlHandler(*given): return 1
def StartServiceCtrlDispatcher():
    assert made["source"] == ("so8t-host", None)
    print("executable", sys.executable)
    made["class"](["so8t"]).SvcRun()
'''
SERVICE_UTIL = """
class ServiceFramework:
    def __init__(self, args): pass
    def ReportServiceStatus(self, *given, **named): print("status", *given, *named.items())
"""


def test_the_script_runs_isolated_with_the_packages_it_is_told(tmp_path: Path) -> None:
    """As Windows starts it: python -I, nothing installed in sight but the folder named on its command line."""
    packages = tmp_path / "packages"
    for folder in (packages, tmp_path / "data", tmp_path / "logs"):
        folder.mkdir()
    (packages / "servicemanager.py").write_text(SERVICE_MANAGER, encoding="utf-8")
    (packages / "win32serviceutil.py").write_text(SERVICE_UTIL, encoding="utf-8")
    (packages / "more.pth").write_text(next(p for p in sys.path if p.endswith("site-packages")) + "\n")
    command = [sys.executable, "-I", "-B", "-X", "utf8", str(Path(service_host.__file__))]
    command += ["--packages", str(packages), "--python", "the environment's python", "--folder", str(tmp_path / "data")]
    command += ["--logs", str(tmp_path / "logs"), "--", "--config", "none.toml"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    log = (tmp_path / "logs" / "service.log").read_text(encoding="utf-8")
    assert done.returncode == 2, log + done.stderr.decode()
    assert "executable the environment's python" in log and "none.toml" in log and "('svcExitCode', 2)" in log
    assert done.stdout == b"" and done.stderr == b""  # there is nobody to read them


@pytest.mark.slow
def test_the_real_server_in_a_services_thread(
    micro_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started, answering, stopped by the event alone, and the ledger closed with its last word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "so8t.toml").write_text("[serve]\nport = 0\n", encoding="utf-8")
    arguments = ["--config", "so8t.toml", "--bundle", str(micro_runs / "micro" / "bundle"), "--allow-unproven"]
    arguments += ["--key", str(micro_runs / "keys" / "bundle.key.pub")]
    addresses: list[str] = []
    monkeypatch.setattr("so8t.commands.serve.words", lambda running, address, ja: addresses.append(address) or [""])
    stop, ready, codes = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(service_host.served(arguments, ready.set, stop)))
    thread.start()
    assert ready.wait(120)
    with urllib.request.urlopen(f"{addresses[0]}/healthz", timeout=20) as answer:
        assert answer.status == 200
    stop.set()
    thread.join(60)
    assert not thread.is_alive() and codes == [0]
    assert tail(tmp_path / "runs" / "serve" / "ledger.db", 1)[0]["data"] == {"event": "stopped"}
