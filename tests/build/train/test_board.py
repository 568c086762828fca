"""TensorBoard event files hold what was measured, a resumed training is drawn once, nothing depends on them."""

from __future__ import annotations

import errno
import io
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from so8t.build.train.board import Board, step_scalars
from so8t.core.progress import Progress

record_writer = pytest.importorskip("tensorboardX.record_writer")
event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def quiet() -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(None, stream, "en"), stream


def records(path: Path) -> Iterator[Any]:
    """The events of a file, length and both checksums verified; a torn end is where a killed process stopped."""
    content, at = path.read_bytes(), 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        end = at + 12 + length + 4
        if end > len(content):
            return
        data = content[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", content, at + 8) == (record_writer.masked_crc32c(content[at : at + 8]),)
        assert struct.unpack_from("<I", content, end - 4) == (record_writer.masked_crc32c(data),)
        yield event_pb2.Event.FromString(data)
        at = end


def events(folder: Path) -> list[Any]:
    """Those of all files, in the order in which TensorBoard reads them."""
    return [event for path in sorted(folder.iterdir()) for event in records(path)]


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would draw: SessionLog.START drops the points from its step on (event_accumulator.py)."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        if event.session_log.status == event.session_log.START:
            drawn = {tag: [p for p in points if p[0] < event.step] for tag, points in drawn.items()}
        for value in event.summary.value:
            drawn.setdefault(value.tag, []).append((event.step, value.simple_value))
    return drawn


def test_values_are_read_back(tmp_path: Path) -> None:
    progress, stream = quiet()
    with Board(tmp_path / "board", 0, progress) as board:
        for step in range(50):
            board.scalars(step, {"train/loss": 3.0 / (1 + step), "train/pet": 0.25 * step})
    drawn = curves(tmp_path / "board")
    assert [s for s, _ in drawn["train/loss"]] == list(range(50))
    assert [v for _, v in drawn["train/loss"]] == pytest.approx([3.0 / (1 + s) for s in range(50)], rel=1e-6)
    assert drawn["train/pet"] == [(s, 0.25 * s) for s in range(50)]
    first = events(tmp_path / "board")[0]
    assert first.file_version == "brain.Event:2" and stream.getvalue() == ""


def test_a_resumed_training_is_drawn_once(tmp_path: Path) -> None:
    """Killed at step 30, resumed from the checkpoint of step 20, in the same second."""
    clock, (progress, _) = Clock(), quiet()
    for start, stop, value in ((0, 30, 1.0), (20, 40, 2.0)):
        with Board(tmp_path, start, progress, clock) as board:
            for step in range(start, stop):
                board.scalars(step, {"train/loss": value})
    assert len(list(tmp_path.iterdir())) == 2
    assert sum(len(e.summary.value) for e in events(tmp_path)) == 50  # both are in the files
    assert curves(tmp_path)["train/loss"] == [(s, 1.0 if s < 20 else 2.0) for s in range(40)]


def test_a_rollback_is_drawn_once(tmp_path: Path) -> None:
    with Board(tmp_path, 0, quiet()[0]) as board:
        for step in range(10):
            board.scalars(step, {"a": 1.0})
        board.rewind(4)
        for step in range(4, 8):
            board.scalars(step, {"a": 2.0})
    assert curves(tmp_path)["a"] == [(s, 1.0 if s < 4 else 2.0) for s in range(8)]


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    """Every ten seconds what was written reaches the disk; the rest of a killed process is lost, not torn."""
    clock = Clock()
    board = Board(tmp_path, 0, quiet()[0], clock)
    for step in range(25):
        clock.now += 1.0
        board.scalars(step, {"a": float(step)})
    (path,) = tmp_path.iterdir()
    kept = path.read_bytes()  # what a reader, or the next start, finds while the process lives or was killed
    board.close()
    path.write_bytes(kept)
    assert [s for s, _ in curves(tmp_path)["a"]] == list(range(20))


def test_a_torn_file_does_not_hide_the_resumed_one(tmp_path: Path) -> None:
    for start, stop in ((0, 10), (5, 12)):
        with Board(tmp_path, start, quiet()[0]) as board:
            for step in range(start, stop):
                board.scalars(step, {"a": 1.0})
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-7])
    assert [s for s, _ in curves(tmp_path)["a"]] == list(range(12))


def test_the_name_says_nothing_of_the_machine(tmp_path: Path) -> None:
    Board(tmp_path, 0, quiet()[0], Clock()).close()
    assert [p.name for p in tmp_path.iterdir()] == ["events.out.tfevents.0000001000.000000"]


def test_without_the_package_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.proto", None)
    progress, stream = quiet()
    with Board(tmp_path / "board", 0, progress) as board:
        board.scalars(0, {"a": 1.0})
        board.rewind(0)
        board.scalars(0, {"a": 1.0})
    assert stream.getvalue().count("tensorboardX") == 1 and not (tmp_path / "board").exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "board").touch()
    progress, stream = quiet()
    with Board(tmp_path / "board", 0, progress) as board:
        board.scalars(0, {"a": 1.0})
    assert "given up" in stream.getvalue() and len(stream.getvalue().splitlines()) == 1


def test_a_full_disk_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, (progress, stream) = Clock(), quiet()
    board = Board(tmp_path, 0, progress, clock)

    def full(self: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record_writer.RecordWriter, "flush", full)
    for step in range(30):
        clock.now += 1.0
        board.scalars(step, {"a": 1.0})
    board.close()
    assert stream.getvalue().count("No space left on device") == 1
    assert [s for s, _ in curves(tmp_path)["a"]] == list(range(10))  # up to the moment it failed


def test_tags_of_a_step() -> None:
    record = {"step": 3, "loss": 2.5, "pet": 0, "rate": 1e-4, "tokens": 100, "angles": [0.0, math.pi / 6]}
    assert step_scalars(record) == {
        "train/loss": 2.5, "train/pet": 0.0, "train/learning_rate": 1e-4, "train/tokens": 100.0,
        "rotation_degrees/layer_00": 0.0, "rotation_degrees/layer_01": pytest.approx(30.0),
    }  # fmt: skip
    assert step_scalars({"step": 3}) == {}
