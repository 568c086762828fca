"""The curves of a training as TensorBoard event files, for those who watch with it (plan 5.2, SPEC T2).

Written through tensorboardX, an optional package, record by record into a local file: no thread, no connection, no
name of the machine. TensorBoard hides what an earlier file says of steps that are done again: a file opens with
SessionLog.START at its first step (what SummaryWriter calls purge_step), and so does going back within one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from so8t.core.progress import Progress

FLUSH_SECONDS = 10.0
Clock = Callable[[], float]
TAGS = {
    "loss": "train/loss", "pet": "train/pet", "pet_weight": "train/pet_weight", "rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm", "tokens": "train/tokens",
}  # fmt: skip


class Board:
    """Event files in `folder`; `step` is the first optimizer step to be written: it and later ones are purged.

    Without tensorboardX, or once a file cannot be written, it says so once and takes no more: a training never stops
    for its curves. Close it, or use it in a with block.
    """

    def __init__(self, folder: Path, step: int, progress: Progress, clock: Clock = time.time) -> None:
        self._progress, self._clock, self._flushed = progress, clock, clock()
        self._writer: Any = None
        self._protocol: Any = _protocol()
        if self._protocol is None:
            progress.say(
                "      TensorBoard 用の記録はしません(tensorboardX が入っていません)",
                "      no TensorBoard log: tensorboardX is not installed",
            )
            return
        self._guarded(lambda: self._open(folder, step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One record of named values at an optimizer step (0-based)."""
        if self._writer is None or not values:
            return
        summary = self._protocol.Event().summary
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=float(value))
        self._guarded(lambda: self._write(step=step, summary=summary))

    def rewind(self, step: int) -> None:
        """Training goes back to `step`: what was written of it and of later ones is hidden."""
        if self._writer is not None:
            start = self._protocol.Event().session_log
            start.status = start.START
            self._guarded(lambda: self._write(step=step, session_log=start))

    def close(self) -> None:
        if self._writer is not None:
            self._guarded(lambda: self._writer.close())
        self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self, folder: Path, step: int) -> None:
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.glob("events.out.tfevents.*"))
        # TensorBoard reads the files of a folder in the order of their names: time, then how many there were before.
        name = f"events.out.tfevents.{self._clock():010.0f}.{number:06}"
        self._writer = RecordWriter(str((folder / name).resolve()))
        self._write(file_version="brain.Event:2")
        self.rewind(step)

    def _write(self, **content: Any) -> None:
        now = self._clock()
        self._writer.write(self._protocol.Event(wall_time=now, **content).SerializeToString())
        if now - self._flushed >= FLUSH_SECONDS:
            self._flushed = now
            self._writer.flush()

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            writer, self._writer = self._writer, None
            with suppress(OSError):
                if writer is not None:
                    writer.close()
            why = error.strerror or type(error).__name__
            self._progress.say(
                f"      TensorBoard 用の記録をやめます({why})。学習は続けます",
                f"      TensorBoard log given up ({why}); training goes on",
            )


def step_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The tags and values of one line of history.jsonl; angles in degrees, a tag a layer."""
    values = {tag: float(record[key]) for key, tag in TAGS.items() if record.get(key) is not None}
    angles = record.get("angles") or ()
    return values | {f"rotation_degrees/layer_{i:02}": math.degrees(a) for i, a in enumerate(angles)}


def _protocol() -> Any:
    """tensorboardX's messages, or None without the package."""
    try:
        from tensorboardX.proto import event_pb2
    except ImportError:
        return None
    return event_pb2
