"""python -m so8t.build.selftest.child WORK BASE DEVICE KIND: the training that resume.py kills."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file

from so8t.build.model.attach import attach
from so8t.build.model.loading import load_causal
from so8t.build.model.precision import choose_precision
from so8t.build.model.quantisation import Kind
from so8t.build.train.dataset import Encoded
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, LoraConfig, NoiseConfig, SwaConfig, TrainConfig
from so8t.core.progress import Progress

FINAL = "final.safetensors"


def configuration(kind: Kind) -> TrainConfig:
    """Forty steps with everything that has state: dropout, noise, accumulation, SWA, PET phases, 8-bit moments."""
    return TrainConfig(
        epochs=4.0, batch_size=2, accumulation=2, maximum_tokens=64, learning_rate=2e-3, dropout=0.1,
        quantization=kind, optimizer="adamw" if kind == "none" else "paged_adamw_8bit", seed=8,
        lora=LoraConfig(rank=16, alpha=32, dropout=0.1), noise=NoiseConfig(sigma=0.05),
        swa=SwaConfig(start=0.5, learning_rate=1e-3), checkpoint=CheckpointConfig(seconds=0.0, keep=5),
    )  # fmt: skip


def rows(count: int) -> list[Encoded]:
    generator = random.Random(1)
    made = []
    for _ in range(count):
        ids = tuple(generator.randrange(1, 500) for _ in range(generator.randrange(20, 60)))
        made.append(Encoded(ids, ids, (1.0,) * len(ids)))
    return made


def train(work: Path, base: Path, device: torch.device, kind: Kind) -> None:
    """To the end, from the newest checkpoint if there is one; the trained tensors are written beside them."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    config = configuration(kind)
    model: Any = load_causal(base, choose_precision(config, device).value, kind, device)
    model.requires_grad_(False)
    torch.manual_seed(config.seed)
    gated = attach(model, config.lora, config.gate)
    work.mkdir(parents=True, exist_ok=True)
    Trainer(gated, rows(40), rows(4), config, 0, work, Progress(stream=sys.stderr), device=device).run()
    save_file({n: p.detach().cpu().contiguous() for n, p in gated.parameters().items()}, work / FINAL)


def main(arguments: Sequence[str]) -> int:
    work, base, device, kind = arguments
    train(Path(work), Path(base), torch.device(device), cast(Kind, kind))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
