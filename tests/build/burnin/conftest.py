"""A small base on disk with a trained adapter beside it, as the stages base and train leave them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t.build.model.attach import GatedModel
from so8t.core.config import GateConfig, LoraConfig, TrainConfig

TRAIN = TrainConfig(lora=LoraConfig(rank=4, alpha=8, dropout=0.0), gate=GateConfig())


@dataclass(frozen=True)
class Trained:
    """`model` is in memory what `base` and `adapter` are on disk."""

    base: Path
    adapter: Path
    model: GatedModel
    train: TrainConfig = TRAIN

    def change_base(self, change: Callable[[dict[str, Any]], None]) -> None:
        self._change(self.base / "model.safetensors", change)

    def change_adapter(self, change: Callable[[dict[str, Any]], None]) -> None:
        self._change(self.adapter, change)

    @staticmethod
    def _change(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
        change(tensors)
        save_file(tensors, file)


@pytest.fixture
def trained(make_phi3: Callable[..., Any], make_gated: Callable[..., GatedModel], tmp_path: Path) -> Trained:
    base, adapter = tmp_path / "base", tmp_path / "adapter.safetensors"
    make_phi3().save_pretrained(base)
    model = make_gated(0.3)
    model.train(False)
    save_file({name: p.detach().contiguous() for name, p in model.parameters().items()}, adapter)
    torch.manual_seed(3)
    return Trained(base, adapter, model)
