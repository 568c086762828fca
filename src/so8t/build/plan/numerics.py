"""In what precision, and by which implementation, a configuration is trained on a device: the choices, without torch.

The choices themselves are made by build/model/precision.py, quantisation.py, attention.py and train/optimizer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from so8t.core.config import TrainConfig

Device = Literal["cpu", "cuda"]
FP32, BF16 = 4, 2  # bytes
LINEAR_BYTES = {"int8": 1.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}  # nf4: 8-bit scales of 64, fp32 scales of 256 scales
STATE_BYTES = {"adamw": 8.0, "adamw_8bit": 2.0 + 2 * 4 / 256}  # two moments; 8-bit ones in blocks of 256


@dataclass(frozen=True, slots=True)
class Numerics:
    """Bytes and implementations that the memory of a step follows from."""

    device: Device
    element: int  # bytes of a number of the base and of the hidden states
    quantization: str
    eight_bit: bool
    attention: Literal["flash", "math", "eager"]
    masked: bool  # a mask between packed samples goes into the attention

    @property
    def mask(self) -> int:
        """Bytes a dropout mask of an fp32 tensor takes: a bool on a card; on a CPU torch keeps it as numbers."""
        return 1 if self.device == "cuda" else FP32

    @property
    def state(self) -> float:
        """Bytes of the optimizer's state for one trained number."""
        return STATE_BYTES["adamw_8bit" if self.eight_bit else "adamw"]


def numerics(train: TrainConfig, device: Device) -> Numerics:
    """As a card with bf16 and bitsandbytes, or as a CPU, would run it."""
    cuda = device == "cuda"
    element = BF16 if train.precision == "bf16" or (cuda and train.precision == "auto") else FP32
    quantization = train.quantization if cuda else "none"
    eight_bit = train.optimizer == "paged_adamw_8bit" or (train.optimizer == "auto" and quantization != "none")
    return Numerics(device, element, quantization, eight_bit, _attention(train, device), train.packing)


def _attention(train: TrainConfig, device: Device) -> Literal["flash", "math", "eager"]:
    """torch's kernel for a CPU knows no dropout: with it the probabilities are written out."""
    if train.attention == "eager":
        return "eager"
    return "math" if device == "cpu" and train.dropout > 0 else "flash"
