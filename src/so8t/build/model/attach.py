"""Put LoRA and SO(8) gates on any decoder whose attention ends in a linear output projection (SPEC M1, M6)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from so8t.build.model.decoder import require_decoder
from so8t.build.model.fused_lora import fuse
from so8t.build.model.head import Head, output_head
from so8t.build.model.lora_library import LoraConfig as PeftConfig
from so8t.build.model.lora_library import PeftModel, get_peft_model
from so8t.build.model.rotation import Rotations
from so8t.build.model.shape import BLOCK, gate_parameters
from so8t.core.config import GateConfig, LoraConfig
from so8t.core.errors import TargetMissing

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# The plan's seven names on architectures that fuse them (Phi-3, Phi-4-mini).
FUSED = {
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
}  # fmt: skip
_OUTPUT = re.compile(r"(?:^|\.)layers\.(\d+)\.self_attn\.o_proj$")


@dataclass(slots=True)
class GatedModel:
    """A frozen base with LoRA and rotations. `rotations` None = gates switched off."""

    peft: PeftModel
    rotations: Rotations | None

    @property
    def causal(self) -> Any:
        """The transformers model inside, with LoRA in place."""
        return self.peft.get_base_model()

    @property
    def head(self) -> Head:
        """What turns hidden() into logits."""
        return output_head(self.causal)

    def counts(self) -> dict[str, int]:
        """Parameters of the base, of LoRA and of the gates; attach has held the last two against the arithmetic."""
        lora = sum(p.numel() for n, p in self.peft.named_parameters() if "lora_" in n)
        gates = 0 if self.rotations is None else self.rotations.skew.numel()
        base = (
            int(self.causal.num_parameters()) - lora
        )  # counts tied weights once and 4-bit ones as what they stand for
        return {"base_parameters": base, "lora_parameters": lora, "gate_parameters": gates}

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by stable name."""
        named = {n: p for n, p in self.peft.named_parameters() if p.requires_grad}
        if self.rotations is not None:
            named["rotations.skew"] = self.rotations.skew
        return named

    def hidden(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Last hidden states [batch, time, features]: what PET smooths and the head reads."""
        output = self.causal.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        )
        states: Tensor = output.last_hidden_state
        return states

    def train(self, mode: bool = True) -> None:
        self.peft.train(mode)


def output_projections(model: nn.Module) -> list[nn.Module]:
    """The attention output projections in layer order."""
    found = {int(m.group(1)): module for name, module in model.named_modules() if (m := _OUTPUT.search(name))}
    return [found[i] for i in sorted(found)]


def lora_targets(model: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """Module names LoRA goes on: the wanted ones, or the architecture's own spelling of the plan's seven.

    Raises TargetMissing when one of them does not sit in every layer.
    """
    present = {name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    names = wanted or SEVEN
    targets = sorted({n if n in present else FUSED.get(n, n) for n in names})
    layers = model.config.num_hidden_layers  # type: ignore[union-attr]
    for target in targets:
        count = sum(name.endswith(f".{target}") for name, m in model.named_modules() if isinstance(m, nn.Linear))
        if count != layers:
            raise TargetMissing(detail=f"{target}: {count} / {layers}", where=type(model).__name__)
    return targets


def attach(model: Any, lora: LoraConfig, gate: GateConfig) -> GatedModel:
    """LoRA first, then the gates behind it, so that a gate turns what base and LoRA give together.

    Raises BaseUnusable for what is no decoder, TargetMissing when LoRA or a gate does not hit every layer.
    """
    require_decoder(model.config)
    projections = output_projections(model) if gate.enabled else []
    if gate.enabled:
        _check_gates(projections, model.config)
    targets = lora_targets(model, lora.targets)
    settings = PeftConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():  # peft 0.21 reads a name that transformers 5 renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        peft = get_peft_model(model, settings)
    fuse(peft)
    gated = GatedModel(peft, _gates(peft, model.config, gate) if gate.enabled else None)
    _check_counts(gated, lora_parameters(model, targets, lora.rank))
    return gated


def _check_gates(projections: list[nn.Module], config: Any) -> None:
    if len(projections) != config.num_hidden_layers:
        raise TargetMissing(detail=f"o_proj: {len(projections)} / {config.num_hidden_layers}", where=config.model_type)
    if config.hidden_size % BLOCK:
        raise TargetMissing(detail=f"hidden_size {config.hidden_size} % {BLOCK}", where=config.model_type)
    for number, projection in enumerate(projections):  # a 4-bit weight has no shape of its own, the layer keeps it
        if getattr(projection, "out_features", None) != config.hidden_size:
            raise TargetMissing(detail=f"layers.{number}.self_attn.o_proj is not linear", where=config.model_type)


def _gates(peft: PeftModel, config: Any, gate: GateConfig) -> Rotations:
    rotations = Rotations(config.num_hidden_layers, config.hidden_size, gate.parametrisation)
    rotations.to(next(peft.parameters()).device, dtype=torch.float32)
    rotations.refresh()
    rotations.attach(output_projections(peft))
    return rotations


def _check_counts(model: GatedModel, lora: int) -> None:
    """What was put on is what the arithmetic says (plan 2.1)."""
    config, counts = model.causal.config, model.counts()
    gates = gate_parameters(config.num_hidden_layers, config.hidden_size) if model.rotations is not None else 0
    for name, expected in (("lora_parameters", lora), ("gate_parameters", gates)):
        if counts[name] != expected:
            raise TargetMissing(detail=f"{name} {counts[name]} != {expected}", where=config.model_type)


def lora_parameters(model: nn.Module, targets: list[str], rank: int) -> int:
    """rank x (in + out) over every target (plan 2.1 "LoRA")."""
    shapes = [
        getattr(m, "base_layer", m)
        for name, m in model.named_modules()
        if name.rsplit(".", 1)[-1] in targets and (isinstance(m, nn.Linear) or hasattr(m, "base_layer"))
    ]
    return sum(rank * (m.in_features + m.out_features) for m in shapes)
