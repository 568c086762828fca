"""Killed for real and resumed; and children that forget something are found out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from so8t.build.selftest import resume
from so8t.build.selftest.bench import Bench
from so8t.core.selftest import Skip

GUARD_LOG = "SO8T_TEST_NETWORK_LOG"
CPU = torch.device("cpu")
PATCHED = """
import sys
from so8t.build.selftest import child
from so8t.build.train import trainer
{patch}
raise SystemExit(child.main(sys.argv[1:]))
"""


@pytest.fixture
def bench(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The children run under the same guard against the network as all that tests start."""
    for name in ("PYTHONPATH", GUARD_LOG):
        monkeypatch.setenv(name, environment[name])
    return Bench(CPU, tmp_path)


def use_child(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other_child.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(resume, "CHILD", "other_child")


@pytest.mark.slow
def test_bit_for_bit_on_a_cpu(bench: Bench) -> None:
    found = {m.name: m for m in resume.resume(bench)}
    assert all(m.ok for m in found.values())
    assert found["loss difference"].value == 0 and found["weight difference"].value == 0
    assert 0 < found["resumed at step"].value < found["steps"].value == 40


@pytest.mark.slow
def test_a_lost_optimizer_state_is_caught(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_child(PATCHED.format(patch="trainer.load_optimizer = lambda made, state: None"), tmp_path, monkeypatch)
    assert {m.name for m in resume.resume(bench) if not m.ok} == {"loss difference", "weight difference"}


@pytest.mark.slow
def test_beginning_anew_is_no_resume(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_child(PATCHED.format(patch="trainer.checkpoint.newest = lambda folder: (None, [])"), tmp_path, monkeypatch)
    with pytest.raises(RuntimeError, match="not resumed there"):
        resume.resume(bench)


def test_a_child_that_fails_says_why(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_child("raise SystemExit('no memory left for the base')", tmp_path, monkeypatch)
    with pytest.raises(RuntimeError, match="ended before it was killed: no memory left for the base"):
        resume.resume(bench)


def test_a_torn_record_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 0, "loss": 1.0}\n{"step": 2, "loss": 1.0}\n', encoding="utf-8")
    with pytest.raises(RuntimeError, match="missing"):
        resume._losses(tmp_path)


def test_int8_needs_bitsandbytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "supported", lambda *a: "bitsandbytes: not there")
    with pytest.raises(Skip, match="bitsandbytes"):
        resume.resume_int8(bench)
