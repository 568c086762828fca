"""Who looks at every step of a training: the thermostat and the TensorBoard log."""

from __future__ import annotations

import threading
from pathlib import Path

from so8t.build.train.board import Board, step_scalars
from so8t.build.train.gpu import Sensor
from so8t.build.train.history import Events, StepFacts
from so8t.build.train.thermostat import Thermostat
from so8t.core.config import GpuConfig
from so8t.core.progress import Progress


class Heat:
    """Lets a hot card rest between two steps."""

    def __init__(self, config: GpuConfig, sensor: Sensor | None, events: Events, progress: Progress) -> None:
        self._events, self._step = events, 0
        self._thermostat = Thermostat(config, sensor, progress.say, self._record)

    def step(self, facts: StepFacts, stop: threading.Event) -> None:
        self._step = facts.step
        self._thermostat.check(stop)

    def rewind(self, step: int) -> None:
        self._step = step

    def _record(self, event: str, /, **facts: float | str | bool | None) -> None:
        self._events.record(event, self._step, facts)


class Curves:
    """The figures of every step, and the rotation angle of each layer, as TensorBoard curves."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._board: Board | None = None

    def step(self, facts: StepFacts, stop: threading.Event) -> None:
        if self._board is not None:
            self._board.scalars(facts.step, step_scalars(facts.to_json()))

    def rewind(self, step: int) -> None:
        """Also how it begins: the trainer says where it starts."""
        if self._board is None:
            self._board = Board(self._folder, step, self._progress)
        else:
            self._board.rewind(step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
