"""Which process of a torchrun or accelerate launch this is. Standard library only: asked before torch is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass

from so8t.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Launch:
    """rank of processes; `local`: the number on this machine, which is the number of its card."""

    rank: int = 0
    processes: int = 1
    local: int = 0


def launched() -> Launch:
    """From RANK, WORLD_SIZE and LOCAL_RANK; alone without them. Raises UsageError for values that make no sense."""
    try:
        found = Launch(*(int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))
    except ValueError as error:
        raise UsageError(detail="RANK, WORLD_SIZE, LOCAL_RANK") from error
    if not 0 <= found.rank < found.processes or found.local < 0:
        raise UsageError(detail=f"RANK {found.rank}, WORLD_SIZE {found.processes}, LOCAL_RANK {found.local}")
    return found
