"""What to try when even single rows do not fit: settings that change the training, so they need consent (plan 8.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from so8t.build.plan.architecture import Architecture
from so8t.build.plan.memory import GIB, memory
from so8t.build.plan.numerics import Device
from so8t.core.config import TrainConfig

FEWER = ("q_proj", "v_proj")  # plan 8.1, level 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """A line for so8t.toml, and the peak in bytes that the plan gives with it, one row at a time."""

    setting: str
    peak: float

    def __str__(self) -> str:
        return f"{self.setting} ({self.peak / GIB:.2f} GiB)"


def proposals(shape: Architecture, train: TrainConfig, device: Device) -> list[Proposal]:
    """Those that help, in the plan's order: what costs time first, what changes the model last."""
    single = replace(train, batch_size=1)
    now = memory(shape, single, device).peak
    found = [Proposal(setting, memory(shape, changed, device).peak) for setting, changed in _changes(single, device)]
    return [p for p in found if p.peak < now]


def _changes(train: TrainConfig, device: Device) -> Iterator[tuple[str, TrainConfig]]:
    if not train.gradient_checkpointing:
        yield "train.gradient_checkpointing = true", replace(train, gradient_checkpointing=True)
    if device == "cuda" and not train.offload_activations:
        offloaded = replace(train, gradient_checkpointing=True, offload_activations=True)
        yield "train.offload_activations = true", offloaded
    if device == "cuda" and train.quantization != "nf4":
        yield 'train.quantization = "nf4"', replace(train, quantization="nf4")
    shorter = train.maximum_tokens // 2
    yield f"train.maximum_tokens = {shorter}", replace(train, maximum_tokens=shorter)
    rank = max(1, train.lora.rank // 2)
    yield f"train.lora.rank = {rank}", replace(train, lora=replace(train.lora, rank=rank))
    yield "train.lora.targets = " + str([*FEWER]), replace(train, lora=replace(train.lora, targets=FEWER))
