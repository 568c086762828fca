"""Several processes training one model: each takes its share of every step's micro-batches (SPEC T7).

Started by torchrun or accelerate, which set RANK, WORLD_SIZE, LOCAL_RANK and the address to meet at; without them
there is one process and nothing here does anything. Only the trained parameters' gradients are exchanged, once a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from so8t.core.errors import ConfigValueInvalid
from so8t.core.launch import launched

# A paused card or a checkpoint makes the others wait; ten minutes, NCCL's default, is too short for a hot afternoon.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    processes: int = 1

    @property
    def main(self) -> bool:
        """The one that writes."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all processes, in place."""
        if self.processes == 1:
            return
        for work in [dist.all_reduce(t, async_op=True) for t in tensors]:
            work.wait()

    def wait(self) -> None:
        """Until all are here."""
        if self.processes > 1:
            dist.barrier()

    def agree(self, value: int, device: torch.device) -> bool:
        """Do all hold the same number?"""
        if self.processes == 1:
            return True
        ends = torch.tensor([value, -value], dtype=torch.int64, device=device)
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        return int(ends[0]) == -int(ends[1])


@contextmanager
def joined(device: torch.device, accumulation: int) -> Iterator[Ranks]:
    """Meet the other processes. Raises ConfigValueInvalid when a step's micro-batches cannot be shared out evenly."""
    rank, processes = launched().rank, launched().processes
    if accumulation % processes:
        raise ConfigValueInvalid(
            where="train.accumulation", detail=f"{accumulation} / {processes}: must be a multiple of the processes"
        )
    if processes == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(rank, processes)
    finally:
        dist.destroy_process_group()
