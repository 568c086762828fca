"""Shards: what is written tensor by tensor is what others read, and half of it is never there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from so8t.build.burnin.shards import write_shards
from so8t.build.burnin.weights import Held, model_files, pieces
from so8t.build.model.loading import load_causal
from so8t.core.errors import BurnInFailed, DiskFull

SHAPES = st.lists(st.lists(st.integers(1, 5), max_size=3), min_size=1, max_size=6)


def write(folder: Path, tensors: dict[str, Tensor], limit: int) -> None:
    held = Held(tensors)
    write_shards(folder, {n: tuple(t.shape) for n, t in tensors.items()}, lambda n: pieces(held, n), limit)


@given(SHAPES, st.integers(1, 400), st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]], limit: int, dtype: torch.dtype
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    tensors = {f"t.{i}": torch.randn(shape).to(dtype) for i, shape in enumerate(shapes)}
    write(folder, tensors, limit)
    files = model_files(folder, BurnInFailed)
    assert sorted(files) == sorted(folder.glob("*.safetensors"))
    found = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[n], t.float()) and found[n].dtype == torch.float32 for n, t in tensors.items())
    for file in files:
        assert len(load_file(file)) == 1 or sum(4 * t.numel() for t in load_file(file).values()) <= limit


def test_transformers_reads_the_shards(tmp_path: Path, make_phi3: Any) -> None:
    model = make_phi3()
    model.config.save_pretrained(tmp_path)
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    write(tmp_path, tensors, 60_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert index["metadata"]["total_size"] == sum(4 * t.numel() for t in tensors.values())
    again = load_causal(tmp_path, torch.float32)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e300])
def test_number_that_is_not_finite(tmp_path: Path, bad: float) -> None:
    with pytest.raises(BurnInFailed, match="b: not finite"):
        write(tmp_path, {"a": torch.ones(3), "b": torch.tensor([1.0, bad], dtype=torch.float64)}, 10**9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [[2], [2, 1, 1], []])
def test_pieces_that_are_not_the_tensor(tmp_path: Path, rows: list[int]) -> None:
    with pytest.raises(BurnInFailed, match=f"a: {2 * sum(rows)} numbers, not 6"):
        write_shards(tmp_path, {"a": (3, 2)}, lambda _name: (torch.ones(n, 2) for n in rows))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_half_a_shard(tmp_path: Path) -> None:
    def source(name: str) -> Iterator[Tensor]:
        yield torch.ones(2)
        if name == "b":
            raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull):
        write_shards(tmp_path, {"a": (2,), "b": (2,)}, source, limit=8)
    assert [p.name for p in tmp_path.iterdir()] == ["model-00001-of-00002.safetensors"]  # no index: not a model
    with pytest.raises(BurnInFailed):
        model_files(tmp_path, BurnInFailed)
