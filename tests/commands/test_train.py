"""so8t train shows the plan and asks; --detach starts the same command without this terminal, or says why not."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from so8t import cli
from so8t.build import planner
from so8t.commands import train as command
from so8t.core.errors import BaseUnusable
from so8t.core.run import STAGES, Manifest, Run
from so8t.pipeline import STAGE_TABLE


class Answer(io.StringIO):
    """A terminal at which somebody types one line."""

    def isatty(self) -> bool:
        return True


class Child:
    """What Popen would start: remembers how, writes what it is told, ends with a code or goes on."""

    pid, code = 4321, None
    calls: list[tuple[list[str], dict[str, Any]]]

    def __init__(self, log: Path, says: bytes = b"", code: int | None = None) -> None:
        self.calls, self.log, self.says, self.code = [], log, says, code

    def __call__(self, arguments: list[str], **options: Any) -> Child:
        self.calls.append((arguments, options))
        options["stdout"].write(self.says)
        return self

    def poll(self) -> int | None:
        if self.code is None:
            with self.log.open("a") as f:
                f.write('{"event": "start"}\n')
        return self.code


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs in which everything before the training of "micro" is done."""
    run = Run(tmp_path / "runs" / "micro")
    for name in STAGE_TABLE["train"].inputs:
        run.write(Manifest(name, "done", {}, {}, ""))
    return tmp_path / "runs"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """The options with which the stage was started here."""
    seen: list[argparse.Namespace] = []

    def stage(options: argparse.Namespace) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr(command, "stage", stage)
    return seen


def call(runs: Path, *arguments: str) -> int:
    return cli.main(["train", "--profile", "micro", "--runs", str(runs), "--lang", "en", *arguments])


@pytest.mark.parametrize(
    ("typed", "starts"), [("\n", True), ("y\n", True), ("はい\n", True), ("n\n", False), ("what\n", False), ("", False)]
)
def test_it_shows_the_plan_and_asks(
    runs: Path, trained: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    typed: str, starts: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", Answer(typed))
    assert call(runs) == 0
    out = capsys.readouterr().out
    assert "optimizer steps" in out and "LoRA" in out and out.endswith("Start [Y/n] ")
    assert len(trained) == (1 if starts else 0)


def test_without_a_terminal_it_takes_a_yes(
    runs: Path, trained: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert call(runs) == 2 and "--yes" in capsys.readouterr().err and trained == []
    assert call(runs, "--yes") == 0 and len(trained) == 1
    assert trained[0].stage == "train" and trained[0].from_checkpoint is None
    assert capsys.readouterr().out == ""


def test_json_is_not_mixed_with_the_question(
    runs: Path, trained: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Answer("y\n"))
    assert call(runs, "--json") == 0
    out, err = capsys.readouterr()
    assert out == "" and "Start [Y/n]" in err and len(trained) == 1


def test_a_plan_that_cannot_be_made_is_said(
    runs: Path, trained: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: object) -> list[Any]:
        raise BaseUnusable(where="somewhere")

    monkeypatch.setattr(planner, "estimate", fail)
    monkeypatch.setattr(sys, "stdin", Answer("y\n"))
    assert call(runs) == 0 and "somewhere" in capsys.readouterr().out and len(trained) == 1


def test_from_a_checkpoint(
    runs: Path, trained: list[argparse.Namespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "step-00000120").mkdir()
    assert call(runs, "--yes", "--from", str(tmp_path / "step-00000120")) == 0
    assert trained[0].from_checkpoint == tmp_path / "step-00000120"
    own = runs / "micro" / "work" / "train" / "step-00000007"
    own.mkdir(parents=True)
    assert call(runs, "--yes", "--from", own.name) == 0  # by its name alone
    assert trained.pop().from_checkpoint == own
    assert call(runs, "--yes", "--from", str(tmp_path / "none")) == 2 and len(trained) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_in_the_background_the_same_command(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "step-1").mkdir()
    (tmp_path / "so8t.toml").write_text("[train]\nepochs = 1.0\n")
    monkeypatch.chdir(tmp_path)
    child = Child(runs / "night" / "log.jsonl")
    monkeypatch.setattr(subprocess, "Popen", child)
    (runs / "micro").rename(runs / "night")
    arguments = ["--name", "night", "--config", "so8t.toml", "--from", "step-1", "--accept-change", "--detach", "--yes"]
    assert call(runs, *arguments) == 0
    ((words, options),) = child.calls
    assert words[:4] == [sys.executable, "-m", "so8t", "train"] and "--detach" not in words
    again = cli.build_parser().parse_args(words[3:])
    assert (again.profile, again.name, again.lang, again.yes, again.accept_change, again.json) == (
        "micro", "night", "en", True, True, False,
    )  # fmt: skip
    assert (again.runs, again.config, again.from_checkpoint) == (runs, tmp_path / "so8t.toml", tmp_path / "step-1")
    assert options["start_new_session"] is True and options["stdin"] == subprocess.DEVNULL and "shell" not in options
    assert options["stdout"].name == str(runs / "night" / "train.out") and options["stderr"] == subprocess.STDOUT
    out = capsys.readouterr().out
    assert "process 4321" in out and f"so8t status {runs / 'night'} --watch" in out and "kill 4321" in out


def test_in_the_background_in_json(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", Child(runs / "micro" / "log.jsonl"))
    assert call(runs, "--detach", "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pid"] == 4321 and found["watch"] == ["so8t", "status", str(runs / "micro"), "--watch"]


def test_what_ends_at_once_is_told(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "micro" / "train.out").write_text("of the day before\n")
    child = Child(runs / "micro" / "log.jsonl", "[R01] 設定が前回と違います\n".encode(), 4)
    monkeypatch.setattr(subprocess, "Popen", child)
    assert call(runs, "--detach", "--yes") == 4
    out, err = capsys.readouterr()
    assert out == "" and err.strip() == "[R01] 設定が前回と違います"


def test_a_busy_run_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    child = Child(runs / "micro" / "log.jsonl")
    monkeypatch.setattr(subprocess, "Popen", child)
    with FileLock(runs / "micro" / ".lock"):
        assert call(runs, "--detach", "--yes") == 4 and "[R02]" in capsys.readouterr().err
    assert child.calls == [] and call(runs, "--detach", "--yes") == 0


def test_what_is_missing_is_said_before_anything_starts(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    child = Child(runs / "micro" / "log.jsonl")
    monkeypatch.setattr(subprocess, "Popen", child)
    (runs / "micro" / "manifests" / "validate.json").unlink()
    assert call(runs, "--detach", "--yes") == 4 and "[R03]" in capsys.readouterr().err
    assert call(runs / "none", "--detach", "--yes") == 4 and child.calls == []
    assert not (runs / "none").exists()


def test_windows_detaches_by_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "DETACHED_PROCESS", 8, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert command.background() == {"creationflags": 520}


@pytest.mark.skipif(os.name == "nt", reason="sessions are POSIX")
def test_a_real_one_lives_in_a_session_of_its_own(runs: Path, so8t_process: Any) -> None:
    """It begins, fails for want of data (the manifests list files that are not there), and leaves its words behind."""
    (runs / "micro" / "manifests" / "validate.json").write_text(
        json.dumps({n: getattr(Manifest("validate", "done", {}, {}, "", {"gone.jsonl": "0"}), n)
                    for n in Manifest.__slots__})
    )  # fmt: skip
    done = so8t_process("train", "--profile", "micro", "--runs", runs, "--detach", "--yes", "--lang", "en")
    assert done.returncode == 4 and "[R04]" in done.stderr and "gone.jsonl" in done.stderr
    assert "[R04]" in (runs / "micro" / "train.out").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sessions are POSIX")
def test_a_detached_training_goes_on_alone(micro_run: Path, tmp_path: Path, so8t_process: Any) -> None:
    """The command returns while the training runs in another session; so8t status follows it to its end."""
    import shutil

    runs = tmp_path / "runs"
    shutil.copytree(micro_run, runs / "micro")
    run = Run(runs / "micro")
    for name in STAGES[STAGES.index("train") :]:
        run.manifest_path(name).unlink()
    shutil.rmtree(run.work("train"))
    done = so8t_process("train", "--profile", "micro", "--runs", runs, "--detach", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    pid = json.loads(done.stdout)["pid"]
    assert os.getsid(pid) == pid != os.getsid(0)
    until = time.monotonic() + 120
    while not ((m := run.manifest("train")) and m.done) and time.monotonic() < until:
        time.sleep(0.5)
    manifest = run.manifest("train")
    assert manifest is not None and manifest.done, (runs / "micro" / "train.out").read_text(encoding="utf-8")
    found = json.loads(so8t_process("status", run.folder, "--json").stdout)["training"]
    assert found["step"] == manifest.facts["steps"]
