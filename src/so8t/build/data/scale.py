"""The collect stage on many cores or machines through datatrove's executors (SPEC T7, docs/decisions/0005).

datatrove starts the tasks (processes here, jobs on Slurm or Ray), keeps their logs, skips finished ones and repeats
failed ones; what a task does is one shard, as in `so8t collect --shard i/N`. No scheduler of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.build.data.collect import prepare
from so8t.build.data.gathering import gather_shard
from so8t.core.config import CollectConfig
from so8t.core.errors import PackageMissing
from so8t.core.progress import Progress
from so8t.core.types import Sample


@dataclass(frozen=True, slots=True)
class CollectShard:
    """A datatrove pipeline step, also for its Slurm and Ray executors; `work` must be a folder all of them see."""

    config: CollectConfig
    requests: tuple[Sample, ...]
    work: Path

    def __call__(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        self.run(rank, world_size, Progress())

    def run(self, shard: int, of: int, progress: Progress) -> list[int]:
        """Numbers of the units that were worked through to their ends."""
        sources, cut, recipe, _ = prepare(self.config, self.requests, progress)
        return gather_shard(sources, cut, recipe, self.work, shard, of, progress)


def run_local(step: CollectShard, tasks: int, workers: int) -> None:
    """`tasks` shards on this machine in `workers` processes; started again, finished ones are skipped.

    Raises PackageMissing, or what a task raised.
    """
    try:
        from datatrove.executor import LocalPipelineExecutor
    except ImportError:
        raise PackageMissing(detail='datatrove: pip install "so8t[scale]"') from None
    logs = str(step.work / "datatrove")
    LocalPipelineExecutor([step], tasks=tasks, workers=workers, logging_dir=logs, start_method="spawn").run()
