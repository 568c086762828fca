"""Weights by name: the same from memory and from files, and every file that is not what it says is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from so8t.build.burnin import weights
from so8t.build.burnin.weights import Gathered, Held, Stored, Weights, model_files, pieces
from so8t.core.errors import BaseUnusable, BurnInFailed

TENSORS = {"a": torch.arange(24.0).reshape(6, 4), "b": torch.arange(5.0).to(torch.bfloat16), "c": torch.tensor(3.0)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_memory_and_file_give_the_same(file: Path) -> None:
    stored = Stored([file], BaseUnusable)
    renamed = Gathered({name: (stored, name) for name in TENSORS})
    for place in (Held(TENSORS), stored, renamed):
        reader: Weights = place
        assert sorted(reader.names()) == ["a", "b", "c"]
        for name, tensor in TENSORS.items():
            assert reader.shape(name) == tuple(tensor.shape)
            assert torch.equal(reader.tensor(name), tensor) and reader.tensor(name).dtype == tensor.dtype
        assert torch.equal(reader.rows("a", 2, 5), TENSORS["a"][2:5])
        assert torch.equal(reader.take("a", [5, 0, 5]), TENSORS["a"][[5, 0, 5]])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 60))
def test_pieces_make_up_the_tensor(rows: int, columns: int, size: int) -> None:
    tensor = torch.arange(float(rows * columns)).reshape(rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "PIECE", size)
        found = list(pieces(Held({"x": tensor, "one": torch.tensor(1.0)}), "x"))
        assert len(list(pieces(Held({"one": torch.tensor(1.0)}), "one"))) == 1
    assert torch.equal(torch.cat(found), tensor)
    assert all(piece.numel() <= max(size, columns) for piece in found)


def test_missing_tensor_is_named(file: Path) -> None:
    for place, fault in ((Stored([file], BaseUnusable), BaseUnusable), (Held(TENSORS), BurnInFailed)):
        for read in (place.tensor, place.shape, lambda n, p=place: p.rows(n, 0, 1), lambda n, p=place: p.take(n, [0])):
            with pytest.raises(fault, match=r"missing layers\.7"):
                read("layers.7")


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_truncated_file(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BaseUnusable) as caught:
        Stored([file], BaseUnusable)
    assert caught.value.where == str(file)


def test_file_that_is_something_else(file: Path) -> None:
    file.write_bytes(b"\xff" * 200)
    with pytest.raises(BaseUnusable):
        Stored([file], BaseUnusable)
    file.unlink()
    with pytest.raises(BaseUnusable):
        Stored([file], BaseUnusable)


def test_file_cut_off_after_it_was_looked_at(file: Path) -> None:
    stored = Stored([file], BaseUnusable)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BaseUnusable):
        stored.tensor("a")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"layer.weight": torch.ones(4, 4).to(dtype)}, file)
    with pytest.raises(BaseUnusable, match=r"layer\.weight: .*8"):
        Stored([file], BaseUnusable)


def test_tensor_in_two_files(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(BaseUnusable, match=r"a: also in model\.safetensors"):
        Stored([file, other], BaseUnusable)


def index(folder: Path, content: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_files_of_a_folder(file: Path, tmp_path: Path) -> None:
    index(tmp_path, {"weight_map": {"a": "gone.safetensors"}})
    assert model_files(tmp_path, BaseUnusable) == [file]  # as transformers: the single file before an index
    file.rename(tmp_path / "model-1.safetensors")
    index(tmp_path, {"weight_map": {"a": "model-1.safetensors", "b": "model-1.safetensors"}})
    assert model_files(tmp_path, BaseUnusable) == [tmp_path / "model-1.safetensors"]


@pytest.mark.parametrize("content", [
    "{", "[]", "null", {}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 1}},
    {"weight_map": {"a": ["x"]}},
    {"weight_map": {"a": "gone.safetensors"}}, {"weight_map": {"a": "../model.safetensors"}}, {"weight_map": {"a": ""}},
    {"weight_map": {"a": ".."}}, {"weight_map": {"a": "/etc/passwd"}}, {"weight_map": {"a": "x", "b": 2}},
])  # fmt: skip
def test_index_that_leads_nowhere(tmp_path: Path, content: object) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"")
    index(folder, content)
    with pytest.raises(BaseUnusable):
        model_files(folder, BaseUnusable)


def test_renamed_file_and_endless_index(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.rename(tmp_path / "weights.safetensors")
    with pytest.raises(BaseUnusable, match="neither is there"):
        model_files(tmp_path, BaseUnusable)
    index(tmp_path, {"weight_map": {"a": "weights.safetensors"}})
    monkeypatch.setattr(weights, "MAX_INDEX_BYTES", 10)
    with pytest.raises(BaseUnusable, match="> 10 bytes"):
        model_files(tmp_path, BaseUnusable)
