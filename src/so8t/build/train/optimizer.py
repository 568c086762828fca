"""AdamW with decoupled weight decay: torch's, or bitsandbytes' with 8-bit states that may be paged out (plan 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from so8t.build.model.choice import Choice
from so8t.build.model.quantisation import INSTALL, has_bitsandbytes, load_bitsandbytes
from so8t.core.config import TrainConfig
from so8t.core.errors import EnvironmentUnfit, PackageMissing

Kind = Literal["adamw", "adamw_8bit", "paged_adamw_8bit"]
FUSED = ("cpu", "cuda")  # where torch's one-pass kernel is; on a CPU it takes 0.4 of the loop's time
EIGHT_BIT_DEVICES = ("cpu", "cuda")


def choose_optimizer(config: TrainConfig, device: torch.device) -> Choice[Kind]:
    """ "auto": paged 8-bit for a quantised base on a card with bitsandbytes, else AdamW.

    Raises PackageMissing or EnvironmentUnfit for 8-bit states that were asked for and cannot be.
    """
    wanted, quantised = config.optimizer, config.quantization != "none"
    if wanted == "auto":
        wanted = "paged_adamw_8bit" if device.type == "cuda" and quantised and has_bitsandbytes() else "adamw"
    if wanted == "adamw":
        return Choice("adamw", "最適化は AdamW です", "the optimizer is AdamW")
    if not has_bitsandbytes():
        raise PackageMissing(detail=f"train.optimizer = 'paged_adamw_8bit': bitsandbytes: {INSTALL}")
    if device.type not in EIGHT_BIT_DEVICES:
        raise EnvironmentUnfit(detail=f"train.optimizer = 'paged_adamw_8bit': {device.type}")
    if device.type == "cpu":
        ja = "最適化は 8 ビットの AdamW です(CPU ではページングはありません)"
        return Choice("adamw_8bit", ja, "the optimizer is 8-bit AdamW (there is no paging on a CPU)")
    return Choice("paged_adamw_8bit", "最適化は paged 8 ビット AdamW です", "the optimizer is paged 8-bit AdamW")


def make_optimizer(
    parameters: Mapping[str, nn.Parameter], config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """One weight decay for all (SPEC M7). Every group carries `factor`: what the scheduled rate is multiplied by."""
    gates = [p for n, p in parameters.items() if n.startswith("rotations.")]
    lora = [p for n, p in parameters.items() if not n.startswith("rotations.")]
    groups = [{"params": lora, "factor": 1.0}, {"params": gates, "factor": config.gate.learning_rate_factor}]
    groups = [g for g in groups if g["params"]]
    settings: dict[str, Any] = {
        "lr": config.learning_rate, "betas": (config.betas[0], config.betas[1]), "eps": config.epsilon,
        "weight_decay": config.weight_decay,
    }  # fmt: skip
    kind = choose_optimizer(config, device).value
    if kind == "adamw":
        return torch.optim.AdamW(groups, **settings, fused=device.type in FUSED)
    module = load_bitsandbytes().optim
    made: torch.optim.Optimizer = (module.AdamW8bit if kind == "adamw_8bit" else module.PagedAdamW8bit)(
        groups, **settings
    )
    return made


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put a saved state back. bitsandbytes would leave paged states on the card itself: they are paged again."""
    paged = _paged_buffers(optimizer)  # never given back, so a second load writes into those of the first
    optimizer.load_state_dict(state)
    if not getattr(optimizer, "is_paged", False):
        return
    for parameter, values in optimizer.state.items():
        for name in ("state1", "state2"):
            if name in values and parameter.device.type == "cuda":
                saved, buffer = values[name], paged.get((parameter, name))
                if buffer is None:
                    buffer = optimizer.get_state_buffer(parameter, dtype=saved.dtype)  # type: ignore[attr-defined]
                values[name] = buffer.copy_(saved)


def _paged_buffers(optimizer: torch.optim.Optimizer) -> dict[tuple[Tensor, str], Tensor]:
    return {
        (parameter, name): value
        for parameter, values in optimizer.state.items()
        for name, value in values.items()
        if getattr(value, "is_paged", False)
    }


def paged_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the states that the driver may move out to main memory."""
    return sum(s.numel() * s.element_size() for s in _paged_buffers(optimizer).values())
