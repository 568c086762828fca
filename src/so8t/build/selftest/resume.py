"""kill -9 in the middle of a training and start it again: the rest must be as if nothing had been (SPEC T1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from so8t.build.model.quantisation import Kind, supported
from so8t.build.selftest.bench import Bench
from so8t.build.selftest.child import FINAL
from so8t.build.selftest.training import distance
from so8t.build.train.checkpoint import folders
from so8t.core.selftest import Measure, Skip

CHILD = "so8t.build.selftest.child"
KILL_AFTER = 17  # steps that are recorded when the process is killed
SECONDS = 600.0  # for one training; it takes seconds
ON_CARD = 1e-3  # of a loss, relative: kernels on a card may add in another order the second time


def resume(bench: Bench) -> list[Measure]:
    """Base in the device's own precision, AdamW."""
    return _kill_and_resume(bench, "none")


def resume_int8(bench: Bench) -> list[Measure]:
    """Base in int8, 8-bit moments (paged on a card)."""
    if why := supported("int8", bench.device):
        raise Skip(why)
    return _kill_and_resume(bench, "int8")


def _kill_and_resume(bench: Bench, kind: Kind) -> list[Measure]:
    whole, cut = (bench.work / f"{name}-{kind}" for name in ("whole", "cut"))
    beside = _start(bench, whole, kind)  # both at once: they share nothing but the device
    try:
        at = _kill(_start(bench, cut, kind), cut)
        _wait(_start(bench, cut, kind), cut)
        _wait(beside, whole)
    finally:
        beside.kill()
        beside.wait()
    if at not in _resumed_at(cut):  # it may have begun anew, which would end the same
        raise RuntimeError(f"killed at step {at}, not resumed there")
    losses, again = _losses(whole), _losses(cut)
    if len(losses) != len(again):
        raise RuntimeError(f"{len(again)} steps recorded after resuming, {len(losses)} without")
    apart = max(abs(a / b - 1) for a, b in zip(again, losses, strict=True))
    return [
        Measure("resumed at step", at),
        Measure("steps", len(losses)),
        Measure("loss difference", apart, ON_CARD if bench.cuda else 0),
        Measure("weight difference", _apart(cut, whole), None if bench.cuda else 0),
    ]


def _start(bench: Bench, work: Path, kind: Kind) -> subprocess.Popen[bytes]:
    """The child, its words in a file: a pipe that nobody reads would stop it."""
    command = [sys.executable, "-m", CHILD, str(work), str(bench.base), str(bench.device), kind]
    source = str(Path(__file__).parents[3])  # the child must be of this very package
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    work.mkdir(parents=True, exist_ok=True)
    with _log(work).open("ab") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _log(work: Path) -> Path:
    return work / "child.log"


def _wait(process: subprocess.Popen[bytes], work: Path) -> None:
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RuntimeError(f"the training did not end in {SECONDS:.0f} s") from None
    if code:
        raise RuntimeError(f"exit code {code}: {_last_words(work)}")


def _kill(process: subprocess.Popen[bytes], work: Path) -> int:
    """Kill -9 (TerminateProcess on Windows) once enough steps are recorded; the step it will be resumed at."""
    until = time.monotonic() + SECONDS
    try:
        while _recorded(work) < KILL_AFTER:
            if process.poll() is not None:
                raise RuntimeError(f"the training ended before it was killed: {_last_words(work)}")
            if time.monotonic() > until:
                raise RuntimeError(f"no {KILL_AFTER} steps in {SECONDS:.0f} s")
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    steps = [int(f.name.removeprefix("step-")) for f in folders(work)]
    if not steps or not max(steps) or (work / FINAL).exists():
        raise RuntimeError(f"killed at the wrong moment: checkpoints {steps}")
    return max(steps)


def _recorded(work: Path) -> int:
    path = work / "history.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _resumed_at(work: Path) -> list[int]:
    lines = (work / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [int(e["step"]) for e in map(json.loads, lines) if e["event"] == "resume"]


def _last_words(work: Path) -> str:
    lines = _log(work).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no output"


def _losses(work: Path) -> list[float]:
    records: list[dict[str, Any]] = [
        json.loads(line) for line in (work / "history.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    if [r["step"] for r in records] != list(range(len(records))):
        raise RuntimeError("steps are missing in the record, or stand there twice")
    return [float(r["loss"]) for r in records]


def _apart(cut: Path, whole: Path) -> float:
    one, other = load_file(cut / FINAL), load_file(whole / FINAL)
    if one.keys() != other.keys():
        raise RuntimeError("the two trainings ended with other tensors")
    return distance(_flat(one), _flat(other))


def _flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensors[n].double().flatten() for n in sorted(tensors)])
