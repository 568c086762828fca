"""Where a long stage is: small JSON checkpoints, the newest intact one counts (plan 5.1, SPEC D5)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from so8t.core.errors import DataError
from so8t.core.files import read_json, write_json
from so8t.core.types import canonical_json

SECONDS = 180.0
KEEP = 5
Clock = Callable[[], float]


class Journal:
    """Checkpoints of one stage in `folder`. What a checkpoint speaks of must be on the disk before it is saved."""

    def __init__(self, folder: Path, seconds: float = SECONDS, keep: int = KEEP, clock: Clock = time.monotonic) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._seconds, self._keep, self._clock = folder, seconds, keep, clock
        self._saved = clock()

    def load(self) -> Any:
        """State of the newest checkpoint whose digest fits; None when there is none. A torn one is passed over."""
        for path in reversed(self._paths()):
            try:
                record = read_json(path)
                if record["sha256"] == _digest(record["state"]):
                    return record["state"]
            except (DataError, KeyError, TypeError):
                continue
        return None

    def due(self) -> bool:
        return self._clock() - self._saved >= self._seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Write, fsync, rename; then let go of the oldest."""
        paths = self._paths()
        number = int(paths[-1].stem.rpartition("-")[2]) + 1 if paths else 1
        write_json(self._folder / f"checkpoint-{number:06}.json", {"state": state, "sha256": _digest(state)})
        for old in paths[: max(0, len(paths) + 1 - self._keep)]:
            old.unlink(missing_ok=True)
        self._saved = self._clock()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.json"))


def _digest(state: Any) -> str:
    return hashlib.sha256(canonical_json(state).encode()).hexdigest()
