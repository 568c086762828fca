"""Checkpoints are whole or not there; the newest whole one is found past any damage."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from so8t.build.train import checkpoint
from so8t.build.train.checkpoint import HASHES, State, Writer
from so8t.core.errors import CheckpointBroken, DiskFull


def state(step: int, average: bool = True) -> State:
    parameter = nn.Parameter(torch.full((4, 4), float(step)))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    mean = {"p": torch.full((4, 4), step / 2)} if average else {}
    return State(step, {"p": parameter}, mean, int(average), optimizer.state_dict(), {"steps": 9})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = state(3)
    path = checkpoint.save(tmp_path, saved, 5)
    found = checkpoint.load(path)
    assert path.name == "step-00000003"
    assert found.step == 3 and found.average_count == 1 and found.facts == {"steps": 9}
    assert torch.equal(found.parameters["p"], saved.parameters["p"].detach())
    assert torch.equal(found.average["p"], saved.average["p"])
    ours, theirs = saved.optimizer["state"][0], found.optimizer["state"][0]
    assert torch.equal(ours["exp_avg"], theirs["exp_avg"]) and torch.equal(ours["step"], theirs["step"])
    assert checkpoint.load(checkpoint.save(tmp_path, state(4, average=False), 5)).average == {}


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for step in range(1, 13):
        checkpoint.save(tmp_path, state(step), 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-{n:08}" for n in (10, 11, 12)]


FILES = ("parameters.safetensors", "average.safetensors", "optimizer.pt", "state.json", HASHES)


@pytest.mark.parametrize("file", FILES)
def test_any_flipped_byte_is_found(tmp_path: Path, file: str) -> None:
    """Every byte of the small files, a stride through the large ones: the one before is used instead."""
    checkpoint.save(tmp_path, state(1), 5)
    path = checkpoint.save(tmp_path, state(2), 5)
    content = (path / file).read_bytes()
    for position in range(0, len(content), max(1, len(content) // 150)):
        (path / file).write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        found, broken = checkpoint.newest(tmp_path)
        assert found is not None and found.step == 1, position
        assert len(broken) == 1 and str(path) in broken[0].where
    (path / file).write_bytes(content)
    assert checkpoint.load(path).step == 2


@pytest.mark.parametrize("file", FILES)
def test_missing_or_cut_file_falls_back(tmp_path: Path, file: str) -> None:
    checkpoint.save(tmp_path, state(1), 5)
    path = checkpoint.save(tmp_path, state(2), 5)
    content = (path / file).read_bytes()
    for cut in (0, 1, len(content) // 2, len(content) - 2):
        (path / file).write_bytes(content[:cut])
        found, broken = checkpoint.newest(tmp_path)
        assert found is not None and found.step == 1 and len(broken) == 1
    (path / file).unlink()
    found, broken = checkpoint.newest(tmp_path)
    assert found is not None and found.step == 1 and len(broken) == 1
    with pytest.raises(CheckpointBroken):
        checkpoint.load(path)


def test_extra_file_is_damage_too(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(1), 5)
    (path / "more.bin").write_bytes(b"x")
    with pytest.raises(CheckpointBroken):
        checkpoint.load(path)


def test_half_written_folder_is_never_seen(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(1), 5)
    shutil.copytree(path, tmp_path / ".step-00000002.partial")
    found, broken = checkpoint.newest(tmp_path)
    assert found is not None and found.step == 1 and not broken
    checkpoint.save(tmp_path, state(2), 5)  # and it is no obstacle
    assert checkpoint.newest(tmp_path)[0].step == 2  # type: ignore[union-attr]


def test_all_broken_or_none_there(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "no") == (None, [])
    path = checkpoint.save(tmp_path, state(1), 5)
    (path / "state.json").unlink()
    found, broken = checkpoint.newest(tmp_path)
    assert found is None and len(broken) == 1


class Trap:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_no_code_is_unpickled(tmp_path: Path) -> None:
    """A forged checkpoint with right hashes still cannot run anything: weights_only."""
    path = checkpoint.save(tmp_path, state(1), 5)
    torch.save({"optimizer": Trap(tmp_path / "owned")}, path / "optimizer.pt")
    hashes = checkpoint.hash_folder(path, frozenset({HASHES}))
    checkpoint.write_json(path / HASHES, {"files": hashes, "digest": checkpoint._digest(hashes)})
    with pytest.raises(CheckpointBroken):
        checkpoint.load(path)
    assert not (tmp_path / "owned").exists()


def test_set_aside_moves_later_ones_out_of_the_way(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, state(step), 5)
    checkpoint.set_aside(tmp_path, 1)
    found, broken = checkpoint.newest(tmp_path)
    assert found is not None and found.step == 1 and not broken
    assert checkpoint.load(tmp_path / "aside" / "step-00000003").step == 3
    checkpoint.save(tmp_path, state(3), 5)
    checkpoint.set_aside(tmp_path, 2)  # a second time over what lies there already
    assert [p.name for p in checkpoint.folders(tmp_path)] == ["step-00000001"]


def test_the_writer_saves_what_was_when_it_was_asked(tmp_path: Path) -> None:
    """Training goes on while the disk is busy: what it changes meanwhile is not in the checkpoint."""
    saved = state(1)
    before = saved.parameters["p"].detach().clone()
    writer = Writer(tmp_path, 5)
    writer.save(saved)
    with torch.no_grad():
        saved.parameters["p"].fill_(99)
        saved.average["p"].fill_(99)
        saved.optimizer["state"][0]["exp_avg"].fill_(99)
    writer.wait()
    found = checkpoint.load(tmp_path / "step-00000001")
    assert torch.equal(found.parameters["p"], before)
    assert torch.equal(found.average["p"], torch.full((4, 4), 0.5))
    assert float(found.optimizer["state"][0]["exp_avg"].abs().max()) < 1
    writer.close()


def test_the_writer_raises_what_happened_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path, 5)
    monkeypatch.setattr(checkpoint, "save", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
    writer.save(state(1))
    with pytest.raises(PermissionError):
        writer.wait()
    writer.save(state(2))
    with pytest.raises(PermissionError):
        while True:
            writer.check()
    writer.wait()  # said once
    writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("big", ["parameters", "optimizer"])
def test_a_really_full_disk(small_disk: Path, big: str) -> None:
    """Whichever file does not fit, through whichever library: DiskFull, nothing half-written, the last one whole."""
    checkpoint.save(small_disk, state(1), 5)
    large = state(2)
    if big == "parameters":
        large.parameters["more"] = torch.zeros(1000, 1000)
    else:
        large.optimizer["state"][0]["exp_avg"] = torch.zeros(1000, 1000)
    with pytest.raises(DiskFull):
        checkpoint.save(small_disk, large, 5)
    assert [p.name for p in small_disk.iterdir()] == ["step-00000001"]
    found, broken = checkpoint.newest(small_disk)
    assert found is not None and found.step == 1 and not broken


def test_on_a_full_disk_the_writer_gives_up_older_ones(small_disk: Path) -> None:
    writer = Writer(small_disk, 5)
    for step in range(1, 4):
        made = state(step)
        made.parameters["more"] = torch.zeros(310, 310)  # two of these fit, three do not
        writer.save(made)
    writer.close()
    writer.wait()
    assert [p.name for p in checkpoint.folders(small_disk)] == ["step-00000002", "step-00000003"]
    assert checkpoint.load(small_disk / "step-00000003").step == 3
