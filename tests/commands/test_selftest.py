"""so8t selftest gpu: plain about what was proved, 12 for any failure, a report to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t import cli
from so8t.build.selftest import gpu
from so8t.core.selftest import Check, Measure, Skip

Call = Callable[..., tuple[int, str, str]]


def skips(bench: Any) -> list[Measure]:
    raise Skip("no card")


GOOD = Check("good", "良い検査", "a good check", lambda bench: [Measure("error", 1e-7, 1e-5), Measure("step", 7)])
BAD = Check("bad", "悪い検査", "a bad check", lambda bench: [Measure("error", float("nan"), 1e-5)])
SKIPS = Check("skips", "対象外の検査", "a check for a card", skips)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)

    def main(*arguments: str, checks: tuple[Check[Any, Any], ...] = (GOOD, SKIPS)) -> tuple[int, str, str]:
        monkeypatch.setattr(gpu, "CHECKS", checks)
        code = cli.main(["selftest", "gpu", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return main


def test_on_a_cpu_it_says_that_no_card_was_proved(call: Call) -> None:
    code, out, _ = call("--device", "cpu", "--lang", "ja")
    assert code == 0
    assert "良い検査" in out and "合格" in out and "対象外" in out and "no card" in out
    assert "error 1e-07 (<= 1e-05), step 7" in out
    assert "GPU については何も確かめていません" in out
    report = json.loads(Path("selftest-gpu.json").read_text(encoding="utf-8"))
    assert report["proves_a_card"] is False and (report["passed"], report["skipped"]) == (1, 1)


def test_a_failure_is_exit_12(call: Call) -> None:
    code, out, _ = call("--device", "cpu", "--lang", "en", "--out", "r.json", checks=(GOOD, BAD))
    assert code == 12 and "FAILED" in out and "error nan (<= 1e-05)" in out and "nothing was proved" in out
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["failed"] == 1


def test_json(call: Call) -> None:
    code, out, _ = call("--device", "cpu", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(Path("selftest-gpu.json").read_text(encoding="utf-8"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_card_nothing_is_tested(call: Call) -> None:
    code, out, err = call("--lang", "ja")
    assert code == 12 and out == ""
    assert "何も確かめていません" in err and "--device cpu" in err and "[V00]" in err
    assert not Path("selftest-gpu.json").exists()
    assert "nothing was tested" in call("--lang", "en")[2]
    assert json.loads(call("--json")[2])["error"] == "V00"


def test_a_report_that_cannot_be_written_is_said_first(call: Call) -> None:
    code, out, err = call("--device", "cpu", "--out", "nowhere/r.json")
    assert code == 2 and out == "" and "nowhere" in err


@pytest.mark.slow
def test_the_real_checks(call: Call) -> None:
    """All but the trainings that are killed: those are tests/build/selftest/test_resume.py."""
    checks = tuple(c for c in gpu.CHECKS if not c.name.startswith("resume"))
    assert len(checks) == len(gpu.CHECKS) - 2
    code, out, _ = call("--device", "cpu", "--json", checks=checks)
    report = json.loads(out)
    assert code == 0 and report["failed"] == 0
    status = {c["name"]: c["status"] for c in report["checks"]}
    assert {n for n in ("bf16", "gates", "attention", "loss") if status[n] != "passed"} == set()
    assert status["memory"] == status["sensor"] == "skipped"
