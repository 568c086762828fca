"""What is written down of a training: one line a step in history.jsonl, what happened besides in events.jsonl.

history.jsonl is the same bytes however often the training was interrupted; times stand in events.jsonl alone.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is recorded of one optimizer step. `pet` is unweighted; `angles`: radians a layer, on some steps only."""

    step: int
    loss: float
    pet: float
    pet_weight: float
    rate: float
    gradient_norm: float
    tokens: int
    angles: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        if not self.angles:
            del record["angles"]
        return record


class History:
    """history.jsonl of one training."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.jsonl"

    def add(self, facts: StepFacts) -> None:
        with self.path.open("a", encoding="utf-8") as f:
            f.write(json.dumps(facts.to_json()) + "\n")

    def sync(self) -> None:
        """To the disk, before a checkpoint says that these steps are done."""
        with self.path.open("a", encoding="utf-8") as f:
            os.fsync(f.fileno())

    def last(self, count: int) -> list[dict[str, Any]]:
        """The newest `count` records."""
        with self.path.open(encoding="utf-8") as f:
            return [json.loads(line) for line in deque(f, maxlen=count)]

    def cut(self, step: int) -> list[dict[str, Any]]:
        """Drop the records of `step` and later, which are made again, and a torn last line; returns what is left."""
        kept: list[dict[str, Any]] = []
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                whole = isinstance(record, dict) and record["step"] == len(kept)
            except (json.JSONDecodeError, KeyError):
                break
            if not whole or len(kept) >= step:
                break
            kept.append(record)
        self.path.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
        return kept


class Events:
    """events.jsonl of one training: checkpoints, pauses, roll-backs, advice."""

    def __init__(self, folder: Path, write: bool = True) -> None:
        self.path, self._write = folder / "events.jsonl", write

    def record(self, event: str, step: int, facts: Mapping[str, Any]) -> None:
        if not self._write:
            return
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "step": step, "event": event, **facts}
        with self.path.open("a", encoding="utf-8") as f:
            f.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
