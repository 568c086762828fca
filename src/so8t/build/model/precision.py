"""The number format of the frozen base. LoRA, gates and optimizer stay in fp32 whatever it is (SPEC M2, M6)."""

from __future__ import annotations

import torch

from so8t.build.model.choice import Choice
from so8t.core.config import TrainConfig
from so8t.core.errors import EnvironmentUnfit


def choose_precision(config: TrainConfig, device: torch.device) -> Choice[torch.dtype]:
    """ "auto": bf16 on a card that computes it, else fp32.

    fp16 is never taken: its range needs loss scaling, which would have to be saved and resumed too.
    Raises EnvironmentUnfit for bf16 asked of a card without it.
    """
    native = computes_bf16(device)
    if config.precision == "bf16" and not native and device.type == "cuda":
        raise EnvironmentUnfit(detail=f"train.precision = 'bf16': {torch.cuda.get_device_name(device)}")
    if config.precision == "bf16":
        return Choice(torch.bfloat16, "設定により土台は bf16 です", "the base is in bf16, as configured")
    if config.precision == "fp32":
        return Choice(torch.float32, "設定により土台は fp32 です", "the base is in fp32, as configured")
    if device.type != "cuda":
        return Choice(torch.float32, f"{device.type} なので土台は fp32 です", f"the base is in fp32 on {device.type}")
    if native:
        return Choice(
            torch.bfloat16, "カードが bf16 を計算できるので土台は bf16 です", "the base is in bf16: the card has it"
        )
    return Choice(
        torch.float32,
        "カードに bf16 がないので土台は fp32 です(fp16 は値の範囲が足りないため使いません)",
        "the base is in fp32: the card has no bf16, and fp16's range is too small",
    )


def computes_bf16(device: torch.device) -> bool:
    """In hardware; what torch emulates on older cards is slower than fp32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
