"""bf16 where a card computes it, fp32 elsewhere, fp16 nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from so8t.build.model.precision import choose_precision
from so8t.core.config import TrainConfig
from so8t.core.errors import EnvironmentUnfit

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A card that has bf16 or has not; torch can emulate it on any."""

    def pretend(native: bool) -> None:
        def supported(including_emulation: bool = True) -> bool:
            return native or including_emulation

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce GTX 1080")

    return pretend


def chosen(precision: Any, device: torch.device) -> torch.dtype:
    made = choose_precision(TrainConfig(precision=precision), device)
    assert made.ja and made.en
    return made.value


def test_on_a_cpu() -> None:
    assert chosen("auto", CPU) is torch.float32
    assert chosen("fp32", CPU) is torch.float32
    assert chosen("bf16", CPU) is torch.bfloat16  # slow, but it is what was asked for


def test_on_a_card_with_bf16(card: Callable[[bool], None]) -> None:
    card(True)
    assert [chosen(p, CUDA) for p in ("auto", "fp32", "bf16")] == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_on_a_card_without(card: Callable[[bool], None]) -> None:
    card(False)
    assert chosen("auto", CUDA) is torch.float32
    assert "fp16" in choose_precision(TrainConfig(), CUDA).en
    with pytest.raises(EnvironmentUnfit, match="GTX 1080"):
        choose_precision(TrainConfig(precision="bf16"), CUDA)
