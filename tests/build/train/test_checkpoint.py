"""Checkpoints are whole or not there; the newest whole one is found past any damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from so8t.build.train import checkpoint
from so8t.build.train.checkpoint import HASHES, State
from so8t.core.errors import CheckpointBroken


def state(step: int, average: bool = True) -> State:
    parameter = nn.Parameter(torch.full((4, 4), float(step)))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    mean = {"p": torch.full((4, 4), step / 2)} if average else {}
    return State(
        step, {"p": parameter}, mean, int(average), optimizer.state_dict(), torch.get_rng_state(), {"steps": 9}
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = state(3)
    path = checkpoint.save(tmp_path, saved, 5)
    found = checkpoint.load(path)
    assert path.name == "step-00000003"
    assert found.step == 3 and found.average_count == 1 and found.facts == {"steps": 9}
    assert torch.equal(found.parameters["p"], saved.parameters["p"].detach())
    assert torch.equal(found.average["p"], saved.average["p"])
    assert torch.equal(found.random, saved.random)
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
    torch.save({"optimizer": Trap(tmp_path / "owned"), "random": torch.zeros(1)}, path / "optimizer.pt")
    hashes = checkpoint.hash_folder(path, frozenset({HASHES}))
    checkpoint.write_json(path / HASHES, {"files": hashes, "digest": checkpoint._digest(hashes)})
    with pytest.raises(CheckpointBroken):
        checkpoint.load(path)
    assert not (tmp_path / "owned").exists()
