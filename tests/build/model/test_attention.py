"""flash-attn only where it can run, and never silently instead of it."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

from so8t.build.model.attention import choose_attention
from so8t.core.config import TrainConfig
from so8t.core.errors import ConfigValueInvalid, EnvironmentUnfit, PackageMissing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a card of some compute capability, with or without the package."""
    real = importlib.util.find_spec

    def pretend(capability: tuple[int, int] = (8, 6), package: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: package or None if name == "flash_attn" else real(name)
        )

    return pretend


def chosen(attention: Any, device: torch.device, dtype: torch.dtype, **changes: Any) -> str:
    made = choose_attention(TrainConfig(attention=attention, **changes), device, dtype)
    assert made.ja and made.en
    return made.value


def test_auto(machine: Any) -> None:
    machine()
    assert chosen("auto", CUDA, BF16) == "flash_attention_2"
    assert chosen("auto", CUDA, torch.float16) == "flash_attention_2"
    assert chosen("auto", CUDA, FP32) == "sdpa"
    assert chosen("auto", CPU, BF16) == "sdpa"
    assert chosen("auto", CUDA, BF16, packing=True) == "sdpa"
    machine(capability=(7, 5))
    assert chosen("auto", CUDA, BF16) == "sdpa"
    machine(package=False)
    assert chosen("auto", CUDA, BF16) == "sdpa"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_as_asked(attention: str, device: torch.device) -> None:
    assert chosen(attention, device, FP32) == attention


def test_flash_as_asked(machine: Any) -> None:
    machine()
    assert chosen("flash", CUDA, BF16) == "flash_attention_2"
    with pytest.raises(EnvironmentUnfit, match="float32"):
        chosen("flash", CUDA, FP32)
    with pytest.raises(EnvironmentUnfit, match="device cpu"):
        chosen("flash", CPU, BF16)
    with pytest.raises(ConfigValueInvalid, match="packing"):
        chosen("flash", CUDA, BF16, packing=True)
    machine(capability=(7, 5))
    with pytest.raises(EnvironmentUnfit, match=r"7\.5"):
        chosen("flash", CUDA, BF16)
    machine(package=False)
    with pytest.raises(PackageMissing, match="flash-attn"):
        chosen("flash", CUDA, BF16)
