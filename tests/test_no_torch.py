"""Serving and looking load no torch: what an office server runs must work where it was never installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "peft", "safetensors")
PROGRAM = """
import importlib.machinery, json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] in {heavy} else None
    def create_module(self, spec):
        raise ModuleNotFoundError(spec.name)
    def exec_module(self, module):
        raise AssertionError
if {refuse}:
    sys.meta_path.insert(0, Refuse())
{work}
print("HEAVY", json.dumps([m for m in {heavy} if m in sys.modules]))
raise SystemExit(code)
"""


def loaded(work: str, environment: dict[str, str], refuse: bool = True) -> tuple[int, list[str], str]:
    """(exit code, heavy modules that were loaded, stderr) of Python code that sets `code`."""
    program = PROGRAM.format(heavy=HEAVY, refuse=refuse, work=work)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("HEAVY ")]
    assert lines, done.stderr[-2000:]
    return done.returncode, json.loads(lines[-1].removeprefix("HEAVY ")), done.stderr


def cli(*arguments: object) -> str:
    return f"from so8t.cli import main\ncode = main({[str(a) for a in arguments]!r})"


def test_the_check_sees_torch(environment: dict[str, str]) -> None:
    _, found, _ = loaded("import torch, safetensors\ncode = 0", environment, refuse=False)
    assert found == ["torch", "safetensors"]


@pytest.mark.parametrize(
    "module",
    [
        "so8t.cli",
        "so8t.pipeline",
        "so8t.operate.gateway",
        "so8t.operate.serving",
        "so8t.operate.demo",
        "so8t.judge.triple",
        "so8t.prove.stage",
        "so8t.report.card",
        "so8t.commands.use",
        "so8t.commands.look",
        "so8t.commands.run",
        "so8t.commands.plan",
        "so8t.commands.deploy",
        "so8t.commands.serve",
        "so8t.commands.users",
        "so8t.commands.review",
        "so8t.commands.ledger",
        "so8t.ask.ollama",
        "so8t.commands.status",
        "so8t.doctor.examine",
        "so8t.core.ledger",
        "so8t.ask.llamacpp_server",
        "so8t.build.data.quality",
    ],
)
def test_modules_of_the_server(module: str, environment: dict[str, str]) -> None:
    code, found, errors = loaded(f"import {module}\ncode = 0", environment)
    assert (code, found) == (0, []), errors


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    record = {
        "id": "1",
        "query": "議事録の書き方を教えてください。",
        "text": "議事録は誰のために書くのか、という話です。",
    }
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("verb", ["decide", "classify", "score"])
def test_verbs_that_judge(
    verb: str, micro_runs: Path, lines: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "out.jsonl"
    more = ["--allow-unproven"] if verb == "decide" else []
    code, found, errors = loaded(cli(verb, "--in", lines, "--out", out, "--runs", micro_runs, *more), environment)
    assert (code, found) == (0, []), errors
    assert "error" not in json.loads(out.read_text(encoding="utf-8"))


def test_verbs_that_look(micro_runs: Path, environment: dict[str, str]) -> None:
    ledger = micro_runs / "micro" / "ledger.db"
    calls = (
        ["ledger", "verify", ledger, "--runs", micro_runs],
        ["doctor", "--profile", "micro"],
        ["status", "micro", "--runs", micro_runs],
        ["bundle", "show", micro_runs / "micro" / "bundle", "--runs", micro_runs],
        ["show", "micro", "--runs", micro_runs],
    )
    work = "from so8t.cli import main\n"
    work += "\n".join(f"code = main({[str(a) for a in c]!r})\nassert code in (0, 12), {c[0]!r}" for c in calls)
    code, found, errors = loaded(work, environment)
    assert code in (0, 12) and found == [], errors
