"""Which attention transformers is to use: flash-attn where it can run, else torch's own (issue "attention")."""

from __future__ import annotations

import importlib.util

import torch

from so8t.build.model.choice import Choice
from so8t.core.config import TrainConfig
from so8t.core.errors import ConfigValueInvalid, EnvironmentUnfit, PackageMissing

FLASH, SDPA, EAGER = "flash_attention_2", "sdpa", "eager"
AMPERE = (8, 0)  # the oldest compute capability that flash-attn 2 runs on
SIXTEEN_BITS = (torch.bfloat16, torch.float16)


def choose_attention(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> Choice[str]:
    """The value of transformers' `attn_implementation`.

    Raises PackageMissing or EnvironmentUnfit for flash attention that was asked for and cannot be,
    ConfigValueInvalid when it is asked for together with packing (its kernel takes no mask between documents).
    """
    if config.attention == "eager":
        return Choice(EAGER, "設定により注意は eager です", "attention is eager, as configured")
    if config.attention == "sdpa":
        return Choice(SDPA, "設定により注意は sdpa です", "attention is sdpa, as configured")
    why = flash_obstacle(device, dtype)
    if config.attention == "flash":
        _require_flash(config, why)
    if config.packing:
        return Choice(
            SDPA, "詰めた標本を分けるため注意は sdpa です", "attention is sdpa: it keeps packed samples apart"
        )
    if why:
        return Choice(SDPA, f"注意は sdpa です(flash-attn: {why})", f"attention is sdpa (flash-attn: {why})")
    return Choice(FLASH, "注意は flash-attn です", "attention is flash-attn")


def flash_obstacle(device: torch.device, dtype: torch.dtype) -> str:
    """What keeps flash-attn from running, "" for nothing."""
    if device.type != "cuda":
        return f"device {device.type}"
    if torch.cuda.get_device_capability(device) < AMPERE:
        return "compute capability " + ".".join(map(str, torch.cuda.get_device_capability(device)))
    if dtype not in SIXTEEN_BITS:
        return str(dtype).removeprefix("torch.")
    if importlib.util.find_spec("flash_attn") is None:
        return "pip install flash-attn"
    return ""


def _require_flash(config: TrainConfig, why: str) -> None:
    detail = f"train.attention = 'flash': {why}"
    if why.startswith("pip "):
        raise PackageMissing(detail=detail)
    if why:
        raise EnvironmentUnfit(detail=detail)
    if config.packing:
        raise ConfigValueInvalid(detail="train.attention = 'flash', train.packing = true")
