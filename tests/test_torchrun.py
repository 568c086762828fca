"""`so8t train` under torchrun, the launcher that people use (and accelerate's, on cards): two CPU processes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
RELATIVE = 1e-4  # of a loss: fp32 sums in another order, over all steps of the micro profile


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def torchrun() -> list[str]:
    place = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--local-addr", "127.0.0.1"]
    return [sys.executable, "-m", "torch.distributed.run", *place, "--master-port", free_port(), "-m"]


def losses(run: Path) -> list[float]:
    lines = (run / "train" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_give_the_loss_curve_of_one(
    micro_runs: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(micro_runs, runs)
    shutil.rmtree(runs / "micro" / "work" / "train")
    (runs / "micro" / "manifests" / "train.json").unlink()
    command = [*torchrun(), "so8t", "train", "--profile", "micro", "--yes", "--json", "--runs", str(runs)]
    done = subprocess.run(
        command, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, encoding="utf-8", timeout=300,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len([line for line in done.stdout.splitlines() if line.startswith("{")]) == 1  # the first process speaks
    manifest = json.loads((runs / "micro" / "manifests" / "train.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "done" and manifest["facts"]["processes"] == 2
    one, two = losses(micro_runs / "micro"), losses(runs / "micro")
    assert one == pytest.approx(two, rel=RELATIVE) and len(one) > 10


def test_other_stages_are_for_one_process(micro_runs: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "so8t", "run", "--profile", "micro", "--yes", "--runs", str(micro_runs)]
    ranks = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    done = subprocess.run(command, env=environment | ranks, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2 and "torchrun" in done.stderr
