"""The joined LoRA addition is PEFT's own as far as rounding allows, and steps aside where it must."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from so8t.build.model.fused_lora import fuse
from so8t.build.model.lora_library import LoraConfig, LoraLinear, PeftModel, get_peft_model


class _Two(nn.Module):
    """Two linear layers in a row, the first with a bias."""

    def __init__(self, width: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first = nn.Linear(width, width + 8, dtype=dtype)
        self.second = nn.Linear(width + 8, width, bias=False, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.tanh(self.first(x)))
        return y


def _model(width: int = 16, dtype: torch.dtype = torch.float32, **more: Any) -> PeftModel:
    torch.manual_seed(0)
    chosen = {"target_modules": ["first", "second"]} | more
    config = LoraConfig(r=4, lora_alpha=12, init_lora_weights=False, **chosen)  # B is not zero
    return get_peft_model(_Two(width, dtype), config)  # type: ignore[arg-type]


def _layers(model: PeftModel) -> list[LoraLinear]:
    return [m for m in model.modules() if isinstance(m, LoraLinear)]


def _pass(model: PeftModel, x: Tensor) -> dict[str, Tensor]:
    """Output, gradient of the input and of every LoRA matrix."""
    torch.manual_seed(1)  # for dropout
    x = x.clone().requires_grad_()
    y = model(x)
    model.zero_grad()
    y.square().sum().backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"y": y.detach(), "x": x.grad} | grads  # type: ignore[dict-item]


@given(
    rows=st.integers(1, 5), time=st.integers(1, 7), width=st.sampled_from([8, 24]), dropout=st.sampled_from([0.0, 0.3])
)
@settings(max_examples=25, deadline=None)
def test_output_and_gradients_are_those_of_peft(rows: int, time: int, width: int, dropout: float) -> None:
    x = torch.randn(rows, time, width, dtype=torch.float64)
    stock = _pass(_model(width, torch.float64, lora_dropout=dropout), x)
    model = _model(width, torch.float64, lora_dropout=dropout)
    for layer in _layers(model):  # PEFT keeps the adapter in fp32 whatever the base
        layer.lora_A.double()
        layer.lora_B.double()
    assert fuse(model) == 2
    for name, value in _pass(model, x).items():
        torch.testing.assert_close(value.float(), stock[name].float(), rtol=1e-5, atol=1e-5)


def test_a_frozen_input_still_gives_the_gradients_of_lora() -> None:
    model = _model()
    fuse(model)
    model(torch.randn(2, 16)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in model.named_parameters() if "lora_" in n)


def test_a_transposed_input_is_no_trap() -> None:
    x = torch.randn(16, 3, 5).transpose(0, 2)
    stock, model = _pass(_model(), x), _model()
    fuse(model)
    for name, value in _pass(model, x).items():
        torch.testing.assert_close(value, stock[name], rtol=1e-5, atol=1e-5)


def test_switching_the_adapter_off_and_merging_it_still_work() -> None:
    model, x = _model(), torch.randn(3, 16)
    fuse(model)
    with_lora = model(x)
    with model.disable_adapter():
        torch.testing.assert_close(model(x), _Two.forward(model.get_base_model(), x))  # type: ignore[arg-type]
        assert not torch.allclose(model(x), with_lora)
    for layer in _layers(model):
        layer.merge()
    torch.testing.assert_close(model(x), with_lora, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("more", [{"use_dora": True}, {"lora_bias": True, "target_modules": ["first"]}])
def test_variants_stay_with_peft(more: dict[str, Any]) -> None:
    assert fuse(_model(**more)) == 0


def test_a_base_in_another_precision_is_added_to_by_peft() -> None:
    x = torch.randn(3, 16, dtype=torch.bfloat16)
    stock, model = _pass(_model(dtype=torch.bfloat16), x), _model(dtype=torch.bfloat16)
    fuse(model)
    for name, value in _pass(model, x).items():
        assert torch.equal(value, stock[name])


def test_a_copy_in_another_precision_uses_its_own_weights() -> None:
    model, x = _model(), torch.randn(3, 16)
    fuse(model)
    twin = copy.deepcopy(model).double()
    with torch.no_grad():
        for layer in _layers(model):
            layer.lora_B["default"].weight.zero_()
    torch.testing.assert_close(twin(x.double()).float(), _model()(x), rtol=1e-5, atol=1e-5)


def test_autocast_goes_by_peft() -> None:
    model, x = _model(), torch.randn(3, 16)
    fuse(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16
