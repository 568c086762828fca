"""LoRA's addition as one matrix product into the base layer's output, where PEFT makes three passes over it.

PEFT computes y + B(A(dropout(x))) * s with a tensor each for the product, the scaling and the sum; a small model
spends a tenth of its step there. The same numbers come from one `addmm_`; nothing is changed in what is stored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from so8t.build.model.lora_library import LoraLinear, PeftModel

ADAPTER = "default"


class _AddProduct(torch.autograd.Function):
    """y += s (h B^T), in place. y [..., out] contiguous, h [..., rank], B [out, rank]."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, h: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.mark_dirty(y)
        ctx.save_for_backward(h, b)
        ctx.scale = scale
        y.view(-1, y.shape[-1]).addmm_(_rows(h), b.T, alpha=scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        h, b = ctx.saved_tensors
        g = gradients[0]
        rows = _rows(g)
        to_h = (rows @ b).mul_(ctx.scale).view_as(h) if ctx.needs_input_grad[1] else None
        to_b = (rows.T @ _rows(h)).mul_(ctx.scale) if ctx.needs_input_grad[2] else None
        return g if ctx.needs_input_grad[0] else None, to_h, to_b, None


def _rows(x: Tensor) -> Tensor:
    """[..., features] -> [tokens, features]."""
    return x.reshape(-1, x.shape[-1])


class FusedLora(LoraLinear):
    """PEFT's layer with the joined addition. A class and not a patched method: copies of a model must copy it too."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        a, b = self.lora_A[ADAPTER], self.lora_B[ADAPTER].weight
        alike = x.dtype == self.base_layer.weight.dtype == b.dtype and not torch.is_autocast_enabled(x.device.type)
        if args or kwargs or self.disable_adapters or self.merged or not alike:
            stock: Tensor = super().forward(x, *args, **kwargs)
            return stock
        h, y = a(self.lora_dropout[ADAPTER](x)), self.base_layer(x).contiguous()
        added: Tensor = _AddProduct.apply(y, h, b, self.scaling[ADAPTER])  # type: ignore[no-untyped-call]
        return added


def fuse(peft: PeftModel) -> int:
    """Give every LoRA layer that allows it the joined addition; how many there are.

    Allowed: a plain linear base layer, one adapter, no variant (DoRA and the like), no LoRA bias. Quantised bases stay
    with PEFT altogether, and while base and LoRA differ in dtype PEFT's own addition converts between the two.
    """
    layers = [m for m in peft.modules() if type(m) is LoraLinear and _allowed(m)]
    for layer in layers:
        layer.__class__ = FusedLora
    return len(layers)


def _allowed(layer: LoraLinear) -> bool:
    one = list(layer.lora_A) == [ADAPTER] and ADAPTER not in layer.lora_variant
    return type(layer.base_layer) is nn.Linear and one and layer.lora_B[ADAPTER].bias is None
