"""Model folders that are not whole: said before anything is converted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t.build.export.weights import INDEX, Weights, model_config
from so8t.core.errors import GgufInvalid, RecordInvalid, SourceMissing


@pytest.fixture
def sharded(burned: Path, tmp_path: Path) -> Path:
    """The model in two files with an index, as large ones come."""
    folder = tmp_path / "sharded"
    folder.mkdir()
    found = load_file(burned / "model.safetensors")
    names = sorted(found)
    halves = names[::2], names[1::2]
    index: dict[str, str] = {}
    for i, half in enumerate(halves, 1):
        file = f"model-{i:05}-of-00002.safetensors"
        save_file({n: found[n] for n in half}, folder / file)
        index |= dict.fromkeys(half, file)
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    return folder


def test_shards_are_one_model(sharded: Path, burned: Path) -> None:
    with Weights(sharded) as weights:
        assert weights.shapes == {n: tuple(t.shape) for n, t in load_file(burned / "model.safetensors").items()}


def test_pieces_are_the_tensor(burned: Path) -> None:
    with Weights(burned) as weights:
        for name, tensor in load_file(burned / "model.safetensors").items():
            for numbers in (1, 1000, 1 << 30):
                assert torch.equal(torch.cat(list(weights.pieces(name, numbers))), tensor)


@pytest.mark.parametrize("with_index", [True, False])
def test_renamed_shard_is_missed(sharded: Path, with_index: bool) -> None:
    (sharded / "model-00002-of-00002.safetensors").rename(sharded / "model-00002-of-00002.safetensors.bak")
    if with_index:
        with pytest.raises(GgufInvalid, match="model-00002-of-00002"):
            Weights(sharded)
    else:
        (sharded / INDEX).unlink()
        with Weights(sharded) as weights:  # the exporter and the check know which tensors there should be
            assert len(weights.shapes) < 14


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.99])
def test_truncated_file_is_said(burned: Path, tmp_path: Path, share: float) -> None:
    content = (burned / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GgufInvalid, match="safetensors") as caught:
        Weights(tmp_path)
    assert caught.value.where.endswith("model.safetensors")


def test_no_file_and_two_of_the_same_are_said(burned: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid, match=r"no \*\.safetensors"):
        Weights(tmp_path)
    for name in ("model.safetensors", "model copy.safetensors"):
        shutil.copy(burned / "model.safetensors", tmp_path / name)
    with pytest.raises(GgufInvalid, match="in two files"):
        Weights(tmp_path)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(GgufInvalid, match="I8"):
        Weights(tmp_path)


@pytest.mark.parametrize("index", ["[]", '{"weight_map": 3}', "{}", '{"weight_map": {"a": "../../etc/passwd"}}'])
def test_broken_index_is_said(burned: Path, tmp_path: Path, index: str) -> None:
    shutil.copy(burned / "model.safetensors", tmp_path / "model.safetensors")
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(GgufInvalid):
        Weights(tmp_path)


def test_configuration_is_an_object(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        model_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RecordInvalid):
        model_config(tmp_path)
    (tmp_path / "config.json").write_text('"x"')
    with pytest.raises(GgufInvalid, match="object expected"):
        model_config(tmp_path)
