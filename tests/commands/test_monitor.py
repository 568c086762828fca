"""so8t monitor: one look, a baseline, going on until Ctrl-C; what it prints and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fake_machine import Machine
from yara_samples import BAD

from so8t import cli
from so8t.operate.monitor import office
from so8t.operate.monitor.system import Program, Socket, this_machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(devices=None)
    made.runs(5, "/usr/sbin/sshd", user="root")
    made.runs(6, None)
    made.open = [Socket(("0.0.0.0", 22), None, "listen", 5)]
    monkeypatch.setattr(office, "this_machine", made.system)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    path = tmp_path / "so8t.toml"
    state, share = (tmp_path / "m.json").as_posix(), (tmp_path / "share").as_posix()
    path.write_text(f'[serve.monitor]\nstate = "{state}"\nfolders = ["{share}"]\n')
    return path


def call(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["monitor", "--config", str(config), *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_first_trial_says_what_is_missing(machine: Machine, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, config, "--once", "--lang", "ja")
    assert (code, err) == (0, "") and "所見 0 件" in out and "so8t monitor --accept" in out
    assert "見えないプログラム 1" in out and "分からないもの: usb" in out and "調べたファイル 0" in out
    assert "no baseline" in call(capsys, config, "--once", "--lang", "en")[1]
    assert not (config.parent / "m.json").exists()


def test_accepting_and_then_looking(machine: Machine, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, config, "--accept", "--json")
    told = json.loads(out)
    assert code == 0 and told["listeners"] == ["sshd network:22"] and told["files"] > 500 and len(told["digest"]) == 64
    assert "sshd network:22" in call(capsys, config, "--accept", "--lang", "ja")[1]
    machine.open.append(Socket(("0.0.0.0", 4444), None, "listen", 7))
    machine.programs[7] = Program("nc", "sato")
    code, out, _ = call(capsys, config, "--once", "--json")
    found = json.loads(out)
    assert code == 0 and [f["subject"] for f in found["findings"]] == ["nc network:4444"]
    assert found["baseline"] and found["rules"] > 30 and found["unseen_programs"] == 1 and found["unknown"] == ["usb"]


def test_something_critical_is_exit_12(machine: Machine, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "share" / "a.com").write_bytes(BAD["eicar_test_file"][0][1])
    machine.runs(9, "/tmp/x")
    code, out, err = call(capsys, config, "--once", "--lang", "ja")
    assert code == 12 and "[V03]" in err and out.index("[重大]") < out.index("[注意]") and "次に: 開かずに" in out
    code, out, err = call(capsys, config, "--once", "--json")
    assert code == 12 and json.loads(out)["findings"][0]["severity"] == "critical" and json.loads(err)["error"] == "V03"


def test_a_baseline_that_cannot_be_written(machine: Machine, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "m.json").mkdir()
    code, _, err = call(capsys, config, "--accept")
    assert code == 5 and "[S04]" in err and "m.json" in err and "directory" in err
    (config.parent / "m.json").rmdir()
    machine.error = psutil.AccessDenied()
    code, _, err = call(capsys, config, "--accept")
    assert code == 12 and "AccessDenied" in err


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to the administrator only")
def test_the_server_beside_it_is_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that listens on the server's port is ours, with its children; others are not."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    monkeypatch.setattr(office, "os", SimpleNamespace(getpid=lambda: -1))  # or all our children would be ours
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port, now = int(process.stdout.readline()), [0.0]
        tree = office.ServerTree(this_machine(), port, lambda: now[0])
        assert tree(process.pid) and not tree(os.getpid()) and not tree(1)
        assert not office.ServerTree(this_machine(), 1, lambda: now[0])(process.pid)
    finally:
        process.communicate(b"\n", timeout=30)
    now[0] = 61.0
    assert not tree(process.pid)


def test_a_wrong_configuration_is_exit_2(machine: Machine, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('[serve.monitor]\nallowed_networks = ["office"]\n')
    code, _, err = call(capsys, config, "--once")
    assert code == 2 and "allowed_networks" in err
    config.write_text('[serve.monitor]\nwatch = ["everything"]\n')
    assert call(capsys, config, "--once")[0] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of another process")
def test_until_ctrl_c(config: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "so8t", "monitor", "--config", str(config), "--json"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )  # fmt: skip
    try:
        time.sleep(1.5)
        (config.parent / "share" / "run.sh").write_bytes(BAD["miner_pool_address"][0][1])
        assert process.stdout is not None
        line: dict[str, Any] = {}
        while line.get("finding") != "file_rule":
            line = json.loads(process.stdout.readline())
        assert line["event"] == "found" and line["subject"].endswith("run.sh")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0 and "Traceback" not in err
    finally:
        process.kill()
        process.wait()
