"""A trainer with a model of its own."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.build.model.attach import GatedModel
from so8t.build.train.dataset import Encoded
from so8t.build.train.trainer import Trainer
from so8t.core.config import TrainConfig
from so8t.core.progress import Progress

from .training_case import rows


@pytest.fixture
def build(make_gated: Callable[..., GatedModel], tmp_path: Path) -> Callable[..., Trainer]:
    """A trainer with a model of its own, as a new process would make it."""

    def make(
        config: TrainConfig, data: Sequence[Encoded], work: str = "work", strength: float = 0.1, **changes: Any
    ) -> Trainer:
        folder = tmp_path / work
        folder.mkdir(exist_ok=True)
        torch.manual_seed(random.randrange(1 << 30))  # a new process's generator stands anywhere
        model = make_gated(strength, dropout=config.dropout, **changes)
        return Trainer(model, data, rows(3), config, 0, folder, Progress(stream=io.StringIO()))

    return make
