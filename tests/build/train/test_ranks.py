"""Two processes (gloo, loopback) train what one trains: same global batch, same losses, same weights (SPEC T7)."""

from __future__ import annotations

import dataclasses
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from so8t.build.train import checkpoint
from so8t.build.train.ranks import Ranks, joined
from so8t.build.train.sharding import shard_base
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, TrainConfig
from so8t.core.errors import ConfigValueInvalid, TrainingDiverged

from .training_case import FULL, history, rows, weights

CPU = torch.device("cpu")
# Two processes add the same numbers in another order: fp32 rounding, grown over the steps by AdamW.
RELATIVE = 1e-5
CONFIG = dataclasses.replace(FULL, accumulation=4, epsilon=1e-3, checkpoint=CheckpointConfig(seconds=1e9))
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def together(work: Path, act: Callable[[Ranks], None], processes: int = 2, accumulation: int = 4) -> None:
    """Run `act` in children that meet as torchrun would have them meet; fails with the traceback of one that fails."""
    port, children = free_port(), []
    for rank in range(processes):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank),
                               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
                with joined(CPU, accumulation) as ranks:
                    act(ranks)
                code = 0
            except BaseException:
                (work / f"failed-{rank}.txt").write_text(traceback.format_exc(), encoding="utf-8")
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children]
    told = "".join(p.read_text(encoding="utf-8") for p in sorted(work.glob("failed-*.txt")))
    assert codes == [0] * processes, told


def trained(build: Callable[..., Trainer], config: TrainConfig, name: str, ranks: Ranks) -> Trainer:
    made = build(config, rows(26), name)
    made.ranks = ranks
    made.events._write = ranks.main
    if config.sharding == "full":
        shard_base(made.model, "none")
        split = [p for p in made.model.peft.parameters() if isinstance(p, DTensor)]
        assert len(split) > 8 and all(p.to_local().numel() == p.numel() // 2 for p in split)
    made.run()
    save_file(weights(made), made.work / f"rank-{ranks.rank}.safetensors")
    return made


@needs_fork
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_train_what_one_trains(build: Callable[..., Trainer], tmp_path: Path, sharding: str) -> None:
    """With dropout, noise, SWA and PET phases. "full": the frozen base is split over the two (FSDP)."""
    config = dataclasses.replace(CONFIG, sharding=sharding)
    whole = build(CONFIG, rows(26), "whole")
    whole.run()
    together(tmp_path, lambda ranks: trained(build, config, "parts", ranks) and None)
    parts = build(CONFIG, rows(26), "parts")
    for one, two in zip(history(whole), history(parts), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=RELATIVE)
        assert one["pet"] == pytest.approx(two["pet"], rel=RELATIVE)
        assert (one["rate"], one["tokens"]) == (two["rate"], two["tokens"])
    first, second = (load_file(parts.work / f"rank-{r}.safetensors") for r in (0, 1))
    ours = weights(whole)
    assert all(torch.equal(first[n], second[n]) for n in first)  # the two never part
    assert all(torch.allclose(first[n], ours[n], atol=1e-5) for n in first)
    # The checkpoint is an ordinary one: one process may go on from it.
    state, _ = checkpoint.newest(parts.work)
    assert state is not None and state.step == whole.steps


@needs_fork
def test_a_run_goes_on_with_another_number_of_processes(build: Callable[..., Trainer], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, checkpoint=CheckpointConfig(seconds=0.0, keep=100))
    whole = build(config, rows(26), "whole")
    whole.run()
    together(tmp_path, lambda ranks: trained(build, config, "parts", ranks) and None)
    resumed = build(config, rows(26), "parts")
    resumed.resume_from = resumed.work / "step-00000003"
    resumed.run()
    for one, two in zip(history(whole), history(resumed), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=RELATIVE)


@needs_fork
def test_one_process_asked_to_stop_stops_all_at_the_same_step(build: Callable[..., Trainer], tmp_path: Path) -> None:
    def stop_second(ranks: Ranks) -> None:
        made = build(CONFIG, rows(26), "parts")
        made.ranks = ranks
        for step in range(3):
            made.step(step, stop=ranks.rank == 1 and step == 1)
            assert made._stopping == (step == 1)

    together(tmp_path, stop_second)


@needs_fork
def test_divergence_takes_all_processes_back_together(build: Callable[..., Trainer], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, checkpoint=CheckpointConfig(seconds=0.0, keep=100))

    def diverge(ranks: Ranks) -> None:
        made, left = build(config, rows(26), "parts"), [1]
        made.ranks = ranks
        check = made._watch.check

        def once(step: int, loss: float, norm: float) -> None:
            if step == 2 and left[0]:
                left[0] = 0
                raise TrainingDiverged(where="step 2", detail="loss nan")
            check(step, loss, norm)

        made._watch.check = once  # type: ignore[method-assign]
        made.run()
        save_file(weights(made), made.work / f"rank-{ranks.rank}.safetensors")

    together(tmp_path, diverge)
    made = build(config, rows(26), "parts")
    first, second = (load_file(made.work / f"rank-{r}.safetensors") for r in (0, 1))
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert [r["step"] for r in history(made)] == list(range(made.steps))
    assert made._rollbacks.steps == [2]


def test_micro_batches_must_be_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigValueInvalid, match="accumulation"), joined(CPU, 8):
        pass


def test_a_quantised_base_is_not_split(build: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigValueInvalid, match="int8"):
        shard_base(build(CONFIG, rows(4)).model, "int8")


def test_alone_nothing_is_exchanged() -> None:
    ranks, value = Ranks(), torch.ones(3)
    ranks.add([value])
    ranks.wait()
    assert ranks.main and ranks.agree(7, CPU) and torch.equal(value, torch.ones(3))
