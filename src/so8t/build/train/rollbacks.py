"""Which roll-backs a training has made: each halves the rate from its checkpoint on, also after a restart (SPEC T5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from so8t.core.files import read_json, write_json


@dataclass(slots=True)
class Rollbacks:
    """`steps`: the checkpoints that were gone back to, in order."""

    folder: Path
    steps: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Rollbacks:
        path = folder / "rollbacks.json"
        return cls(folder, [int(s) for s in read_json(path)["steps"]] if path.exists() else [])

    def add(self, step: int, write: bool = True) -> None:
        self.steps.append(step)
        if write:
            write_json(self.folder / "rollbacks.json", {"steps": self.steps})

    def factor(self, step: int) -> float:
        """What the rate of optimizer step `step` is multiplied by."""
        return 0.5 ** sum(back <= step for back in self.steps)
