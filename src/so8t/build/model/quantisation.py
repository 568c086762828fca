"""The frozen base in 8 or 4 bits by bitsandbytes (plan 4.1, SPEC M6): where it can be, and with which settings.

LLM.int8 (arXiv 2208.07339) with outlier threshold 6.0; NF4 with double quantisation (QLoRA, arXiv 2305.14314).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterable
from typing import Any, Literal

import torch

from so8t.build.model.choice import Choice
from so8t.core.config import TrainConfig
from so8t.core.errors import EnvironmentUnfit, PackageMissing

Quantised = Literal["int8", "nf4"]
Kind = Literal["none", "int8", "nf4"]
OUTLIER = 6.0
# bitsandbytes 0.50.2 on a CPU reads a row's scales wrongly when a block of 64 runs over its end (measured: weights
# 28 % off instead of 9 %). Its CUDA code has no such limit.
NF4_BLOCK = 64
# The oldest compute capability by kind: bitsandbytes' table of supported hardware.
CAPABILITY: dict[str, tuple[int, int]] = {"int8": (7, 5), "nf4": (6, 0)}
INSTALL = 'pip install "so8t[gpu]"'
_CHATTY = ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")


def quantization_config(kind: Quantised, dtype: torch.dtype) -> Any:
    """transformers' BitsAndBytesConfig. dtype: what 4-bit weights are computed in."""
    from transformers import BitsAndBytesConfig

    load_bitsandbytes()
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=OUTLIER)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, bnb_4bit_use_double_quant=True
    )


def supported(kind: Quantised, device: torch.device, widths: Iterable[int] = ()) -> str | None:
    """What keeps `device` from training on a base of this kind; None for nothing. widths: of the layers' inputs."""
    if not has_bitsandbytes():
        return f"bitsandbytes: {INSTALL}"
    if device.type == "cuda":
        found, least = torch.cuda.get_device_capability(device), CAPABILITY[kind]
        if found < least:
            return f"compute capability {found[0]}.{found[1]} < {least[0]}.{least[1]}"
    elif device.type != "cpu":
        return f"device {device.type}"
    elif kind == "nf4" and (odd := [w for w in widths if w % NF4_BLOCK]):
        return f"in_features {odd[0]} % {NF4_BLOCK}"
    return None


def choose_quantization(config: TrainConfig, device: torch.device, on_cpu: bool = False) -> Choice[Kind]:
    """The configured kind on a card; on a CPU, where it saves no time, only for those who ask with `on_cpu`.

    Raises PackageMissing without bitsandbytes, EnvironmentUnfit for a card too old.
    """
    kind = config.quantization
    if kind == "none":
        return Choice("none", "土台は量子化しません", "the base is not quantised")
    if device.type != "cuda" and not on_cpu:
        ja, en = f"{kind} には CUDA が要るため fp32 で学習します", f"{kind} needs CUDA: training in fp32"
        return Choice("none", ja, en)
    why = supported(kind, device)
    if why is not None:
        raise (
            PackageMissing(detail=why) if why.startswith("bitsandbytes") else EnvironmentUnfit(detail=f"{kind}: {why}")
        )
    return Choice(kind, f"土台は bitsandbytes の {kind} です", f"the base is in bitsandbytes {kind}")


def has_bitsandbytes() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None


def load_bitsandbytes() -> Any:
    """The package. Where `kernels` is installed it would fetch and run code from the internet: that is kept out.

    peft imports it too, so this comes before peft or it comes too late for that.
    """
    for name in _CHATTY:  # it says at every matrix product that activations are rounded: that is what int8 is
        logging.getLogger(name).setLevel(logging.ERROR)
    if "bitsandbytes" in sys.modules:
        return sys.modules["bitsandbytes"]
    before = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("bitsandbytes")
    finally:
        del sys.modules["kernels"]
        if before is not None:
            sys.modules["kernels"] = before
