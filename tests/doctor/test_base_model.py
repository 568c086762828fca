"""The folder of the model to adapt: there, whole, of a known kind."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from so8t.core.config import BaseConfig, Config, load_config
from so8t.doctor import base_model
from so8t.doctor.base_model import examine_base, missing

LLAMA = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 8,
    "num_attention_heads": 2,
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    for n in (1, 2):
        save_file({f"w{n}": np.ones((4, 4), np.float32)}, folder / f"model-0000{n}-of-00002.safetensors")
    index = {"weight_map": {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def with_base(**values: Any) -> Config:
    return dataclasses.replace(load_config("phi4-mini-12gb"), base=BaseConfig(**values))


def test_a_whole_folder(model: Path) -> None:
    (found,) = examine_base(with_base(path=str(model)))
    assert found.mark == "OK" and found.detail.startswith("llama, ")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda m: (m / "config.json").unlink(), "config.json"),
        (lambda m: (m / "config.json").write_text("{"), "config.json"),
        (lambda m: (m / "config.json").write_text('{"model_type": "bert"}'), "bert"),
        (lambda m: (m / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda m: (m / "model-00002-of-00002.safetensors").unlink(), "model-00002"),
        (lambda m: cut(m / "model-00002-of-00002.safetensors"), "bytes"),
        (lambda m: (m / "model-00001-of-00002.safetensors").write_bytes(b"\xff" * 64), "header"),
        (lambda m: (m / "model-00001-of-00002.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"[]"), "model-00001"),
        (lambda m: (m / "model.safetensors.index.json").write_text('{"weight_map": [1]}'), "index.json"),
    ],
)
def test_what_is_broken(model: Path, harm: Callable[[Path], object], word: str) -> None:
    harm(model)
    (found,) = examine_base(with_base(path=str(model)))
    assert found.mark == "NG" and word in found.detail and found.advice("ja") and found.advice("en")


def test_weights_in_one_file(model: Path) -> None:
    (model / "model.safetensors.index.json").unlink()
    assert missing(model) == ""
    for shard in model.glob("*.safetensors"):
        shard.unlink()
    assert missing(model) == "*.safetensors"


def test_an_index_cannot_point_elsewhere(model: Path, tmp_path: Path) -> None:
    shutil.copy(model / "model-00001-of-00002.safetensors", tmp_path / "outside.safetensors")
    index = {"weight_map": {"w": "../outside.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert missing(model) == "outside.safetensors"


def test_a_broken_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (found,) = examine_base(with_base(path=str(tmp_path / "model.gguf")))
    assert found.mark == "NG"


def test_a_profile_of_phi4_without_a_model_would_train_a_toy() -> None:
    (found,) = examine_base(load_config("phi4-mini-12gb"))
    assert found.mark == "NG" and "base" in found.advice("en")
    assert examine_base(load_config("tiny")) == []


def test_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "there":
            return "1.0"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(base_model.metadata, "version", version)
    assert "pip install" in examine_base(with_base(package="gone"))[0].advice("en")
    assert "terms" in examine_base(with_base(package="there"))[0].advice("en")
    assert examine_base(with_base(package="there", accept_terms=True))[0].ok
