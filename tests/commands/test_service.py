"""so8t service and so8t selftest windows | journald as a user calls them: words, JSON, exit codes, both systems."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_pywin32 import RUNNING, STOPPED, FakeService, Windows, modules
from fake_systemctl import STATE, install_fake
from pywin32_layer import with_stand_in

from so8t import cli
from so8t.commands import service as verb
from so8t.operate.eventlog.message_file import NAME, read_message_file
from so8t.operate.eventlog.messages import packaged_messages
from so8t.operate.service.service import Program

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def main(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return main


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Windows]:
    """The commands as they are on Windows, over one in memory."""
    made = Windows()
    for name, module in with_stand_in(modules(made)).items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("PROGRAMDATA", "PROGRAMFILES"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PUBLIC", str(tmp_path / "Users" / "Public"))
    config = tmp_path / "PROGRAMDATA" / "so8t" / "config"
    config.mkdir(parents=True)
    (config / "so8t.toml").write_text('[serve]\nbundle_key = "C:\\\\pinned.pub"\n', encoding="utf-8")
    real = verb.service_of
    monkeypatch.setattr(verb, "service_of", lambda options: real(options, "win32"))
    monkeypatch.setattr("so8t.operate.service.selftest.PAUSE_SECONDS", 0.0)
    yield made


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands as they are on Linux for one user; the folder of its units."""
    home, programs = tmp_path / "home", tmp_path / "programs"
    units = home / ".config" / "systemd" / "user"
    (home / ".config" / "so8t").mkdir(parents=True)
    programs.mkdir()
    install_fake(programs)
    (programs / "so8t").touch()
    monkeypatch.setattr(Program, "this", lambda: Program(programs / "python", programs / "python", programs, programs))
    state = tmp_path / "state.json"
    state.write_text(f'{{"calls":[],"fail":{{}},"enabled":{{}},"active":{{}},"becomes":[],"units":"{units}"}}')
    for name, value in {"HOME": home, STATE: state, "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return units


def configured(units: Path) -> None:
    (units.parents[1] / "so8t" / "so8t.toml").write_text('[serve]\nbundle = "/srv/other"\n', encoding="utf-8")


# -- Windows ----------------------------------------------------------------------------------------------------------


def test_windows_from_installation_to_removal(call: Call, windows: Windows, tmp_path: Path) -> None:
    code, out, _ = call("service", "status", "--lang", "ja")
    assert code == 12 and "登録されていません" in out
    code, out, err = call("service", "install", "--lang", "ja")
    assert code == 0 and out.count("済み  ") == 4 and "so8t service start" in out, err
    command = windows.services["so8t"].created[3]
    assert f"--bundle {tmp_path}" in command and "--key" not in command  # the key is configured already
    assert "service_host.py" in command
    code, out, _ = call("service", "start", "--json")
    assert code == 0 and json.loads(out)["condition"] == "running" and json.loads(out)["pid"] == 4711
    code, out, _ = call("service", "status", "--lang", "en")
    assert code == 0 and "running" in out and "starts with the system" in out and "NT SERVICE" in out
    code, out, _ = call("service", "stop", "--lang", "en")
    assert code == 0 and "stopped" in out
    assert call("service", "status")[0] == 12
    code, out, _ = call("service", "remove", "--lang", "ja")
    assert code == 0 and "残してあります" in out and windows.services == {}
    code, _, err = call("service", "remove", "--lang", "ja")
    assert code == 12 and "[V10]" in err


def test_windows_install_and_start_at_once(call: Call, windows: Windows) -> None:
    code, out, _ = call("service", "install", "--now", "--json", "--account", "OFFICE\\so8t$")
    report = json.loads(out)
    assert code == 0 and report["state"]["condition"] == "running" and len(report["steps"]) == 4
    assert windows.services["so8t"].created[7] == "OFFICE\\so8t$" and windows.services["so8t"].state == RUNNING
    code, _, err = call("service", "install", "--json")
    assert code == 2 and json.loads(err)["error"] == "U25"


def test_windows_dry_run_changes_nothing(call: Call, windows: Windows, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = call("service", "install", "--dry-run", "--lang", "en")
    assert code == 0 and out.count("would  ") == 4 and windows.services == {} and windows.registry == {}
    windows.admin = False
    code, out, err = call("service", "install", "--dry-run", "--lang", "ja")
    assert code == 13 and out.count("予定  ") == 4 and "管理者として実行" in err
    code, out, _ = call("service", "install", "--dry-run", "--json")
    assert code == 13 and json.loads(out)["problem"]["error"] == "I20" and json.loads(out)["dry_run"] is True
    windows.admin = True
    assert call("service", "install")[0] == 0
    code, out, _ = call("service", "remove", "--dry-run", "--json")
    assert code == 0 and len(json.loads(out)["steps"]) == 3 and "so8t" in windows.services
    assert sorted(p for p in before if p not in set(tmp_path.rglob("*"))) == []


def test_windows_a_failed_start(call: Call, windows: Windows) -> None:
    def fail(made: FakeService) -> None:
        made.state, made.win32_exit, made.own_exit = STOPPED, 1066, 11

    assert call("service", "install")[0] == 0
    windows.starts = fail
    code, _, err = call("service", "start", "--lang", "ja")
    assert code == 12 and "exit code 11" in err and "logs" in err
    code, out, _ = call("service", "status", "--lang", "ja")
    assert code == 12 and "異常終了" in out and "終了コード: 11" in out


def test_windows_selftest(call: Call, windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so8t.commands.selftest.sys.platform", "win32")
    assert call("service", "install")[0] == 0
    code, out, _ = call("selftest", "windows", "--out", tmp_path / "r.json", "--lang", "ja")
    report = json.loads((tmp_path / "r.json").read_text())
    assert code == 0 and (report["passed"], report["failed"], report["skipped"]) == (8, 0, 0)
    assert out.count("合格") == 16 and "文面の DLL" in out
    windows.refuse["ReportEvent"] = 5
    code, out, _ = call("selftest", "windows", "--out", tmp_path / "r.json", "--json")
    assert code == 12 and json.loads(out)["failed"] == 1
    assert call("selftest", "windows", "--out", tmp_path / "no" / "r.json")[0] == 2


# -- Linux ------------------------------------------------------------------------------------------------------------

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="systemd")


@linux_only
def test_linux_from_installation_to_removal(call: Call, systemd: Path) -> None:
    code, _, err = call("service", "install", "--user")
    assert code == 3 and "so8t.toml" in err  # no configuration yet
    configured(systemd)
    code, out, err = call("service", "install", "--user", "--now", "--lang", "en")
    assert code == 0 and out.count("done  ") == 4, err
    text = (systemd / "so8t.service").read_text()
    assert "--bundle" not in text and "--key" in text  # as configured, by convention
    code, out, _ = call("service", "status", "--user", "--json")
    assert code == 0 and json.loads(out)["condition"] == "running"
    assert call("service", "stop", "--user")[0] == 0 and call("service", "start", "--user")[0] == 0
    assert call("service", "remove", "--user")[0] == 0 and not (systemd / "so8t.service").exists()


@linux_only
def test_linux_a_broken_configuration_stops_nobody(call: Call, systemd: Path) -> None:
    configured(systemd)
    assert call("service", "install", "--user", "--now")[0] == 0
    (systemd.parents[1] / "so8t" / "so8t.toml").write_text("no = toml = at all", encoding="utf-8")
    assert call("service", "status", "--user")[0] == 0
    assert call("service", "stop", "--user")[0] == 0
    assert call("service", "remove", "--user")[0] == 0
    assert call("service", "install", "--user")[0] == 2


@linux_only
def test_linux_words_of_the_command_line_win(call: Call, systemd: Path, tmp_path: Path) -> None:
    configured(systemd)
    arguments = ["--bundle", tmp_path / "b", "--key", tmp_path / "k"]
    assert call("service", "install", "--user", *arguments)[0] == 0
    assert f"--bundle {tmp_path}/b --key {tmp_path}/k" in (systemd / "so8t.service").read_text()


@linux_only
def test_linux_selftest_without_a_journal(call: Call, systemd: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from so8t.operate.service import selftest_journald

    bench = partial(selftest_journald.JournalBench, socket=str(tmp_path / "none"))
    monkeypatch.setattr(selftest_journald, "JournalBench", bench)
    code, out, err = call("selftest", "journald", "--user", "--out", tmp_path / "r.json", "--lang", "ja")
    report = json.loads((tmp_path / "r.json").read_text())
    assert code == 12 and (report["failed"], report["skipped"]) == (1, 4) and "不合格" in out, err


# -- both -------------------------------------------------------------------------------------------------------------


def test_the_message_file_alone(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("service", "messages", "--to", tmp_path)
    assert code == 0 and Path(out.strip()) == tmp_path / NAME
    assert read_message_file(tmp_path / NAME) == packaged_messages()
    assert call("service", "messages")[0] == 2
    assert call("service", "messages", "--to", tmp_path / "none")[0] == 3


def test_wrong_usage(call: Call, windows: Windows) -> None:
    for arguments in (["start", "--dry-run"], ["stop", "--dry-run"], ["install", "--user"]):
        assert call("service", *arguments)[0] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pywin32 may be there")
def test_windows_without_pywin32(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    real = verb.service_of
    monkeypatch.setattr("so8t.commands.service.service_of", lambda options: real(options, "win32"))
    code, _, err = call("service", "status", "--lang", "ja")
    assert code == 12 and "pywin32" in err


def test_another_system_has_neither(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    real = verb.service_of
    monkeypatch.setattr("so8t.commands.service.service_of", lambda options: real(options, "darwin"))
    assert call("service", "status")[0] == 12


@pytest.mark.skipif(sys.platform == "win32", reason="there it runs")
def test_the_selftest_of_another_system_is_refused(call: Call, tmp_path: Path) -> None:
    code, _, err = call("selftest", "windows", "--out", tmp_path / "r.json")
    assert code == 12 and "[V00]" in err and not (tmp_path / "r.json").exists()
