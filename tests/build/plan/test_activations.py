"""The bytes that autograd keeps of a layer, counted on real models of every architecture, against the formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from so8t.build.model.attach import attach
from so8t.build.model.loading import load_causal
from so8t.build.model.recompute import recompute_layers
from so8t.build.plan.activations import first_layer_spares, kept
from so8t.build.plan.architecture import Architecture
from so8t.build.plan.numerics import numerics
from so8t.core.config import GateConfig, LoraConfig, TrainConfig

ROWS, TOKENS = 2, 96
SIZES: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 128, "intermediate_size": 320, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": True, "pad_token_id": 0,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "phi3": (Phi3Config, Phi3ForCausalLM, {"sliding_window": None}),
    "llama": (LlamaConfig, LlamaForCausalLM, {"attention_bias": True, "mlp_bias": True}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 48}),
    "gemma3_text": (Gemma3TextConfig, Gemma3ForCausalLM, {"head_dim": 48}),
}
PLAIN = TrainConfig(
    maximum_tokens=TOKENS, dropout=0.0, precision="fp32", lora=LoraConfig(rank=8, alpha=16, dropout=0.1)
)


def built(kind: str, train: TrainConfig, layers: int) -> tuple[Any, Architecture]:
    config, model, extra = MODELS[kind]
    torch.manual_seed(0)
    rates = {"attention_dropout": train.dropout} | ({"resid_pdrop": train.dropout} if kind == "phi3" else {})
    attention = "eager" if train.attention == "eager" else "sdpa"
    made = config(**SIZES | extra | rates, num_hidden_layers=layers, attn_implementation=attention)
    causal = model(made).to(torch.bfloat16 if train.precision == "bf16" else torch.float32)
    causal.requires_grad_(False)
    gated = attach(causal, train.lora, GateConfig(enabled=train.gate.enabled))
    gated.train()
    return gated, Architecture.of(causal.config.to_dict())


def counted(gated: Any, packed: bool) -> int:
    """Bytes of all storages that autograd keeps, parameters and buffers left out."""
    own = {p.untyped_storage().data_ptr() for p in [*gated.causal.parameters(), *gated.causal.buffers()]}
    own |= {leaf.untyped_storage().data_ptr() for leaf in gated.rotations.leaves} if gated.rotations else set()
    found: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            found[place] = tensor  # keeps it alive, so that no other storage takes its address
        return tensor

    ids = torch.randint(1, 199, (ROWS, TOKENS))
    half = torch.arange(TOKENS // 2).repeat(2).expand(ROWS, -1) if packed else None
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        gated.hidden(ids, position_ids=half)
    return sum(t.untyped_storage().nbytes() for t in found.values())


CASES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "no LoRA dropout": {"lora": LoraConfig(rank=8, alpha=16, dropout=0.0)},
    "bf16, no LoRA dropout": {"precision": "bf16", "lora": LoraConfig(rank=8, alpha=16, dropout=0.0)},
    "two targets": {"lora": LoraConfig(rank=8, alpha=16, dropout=0.1, targets=("o_proj", "down_proj"))},
    "dropout": {"dropout": 0.1},
    "packed": {"packing": True},
    "packed bf16": {"packing": True, "precision": "bf16"},
    "eager": {"attention": "eager"},
    "eager, no LoRA dropout": {"attention": "eager", "lora": LoraConfig(rank=8, alpha=16, dropout=0.0)},
    "dropout, no LoRA dropout": {"dropout": 0.1, "lora": LoraConfig(rank=8, alpha=16, dropout=0.0)},
    "eager, dropout": {"attention": "eager", "dropout": 0.1},
    "no gate": {"gate": GateConfig(enabled=False)},
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("case", CASES)
def test_what_a_layer_keeps(kind: str, case: str) -> None:
    """A further layer's share, and the first layer's with the last norm, to within rope's and gates' small tensors."""
    train = dataclasses.replace(PLAIN, **CASES[case])
    one, two, three = (counted(*_of(kind, train, layers)) for layers in (1, 2, 3))
    shape, how, tokens = built(kind, train, 1)[1], numerics(train, "cpu"), ROWS * TOKENS
    layer = sum(kept(shape, train, how).values())
    assert three - two == pytest.approx(layer * tokens, rel=0.01)
    if train.lora.targets:
        return  # without LoRA on its input the first attention keeps nothing at all
    first = layer - first_layer_spares(shape, train, how) + 4 * shape.hidden
    assert one == pytest.approx(first * tokens, rel=0.05)


def _of(kind: str, train: TrainConfig, layers: int) -> tuple[Any, bool]:
    return built(kind, train, layers)[0], train.packing


def test_int8_layers_hold_on_to_their_inputs(tmp_path: Path) -> None:
    """What activations.kept counts as "int8" is alive after torch's non-reentrant recomputing, and gone after ours."""
    pytest.importorskip("bitsandbytes")
    config, model, _ = MODELS["phi3"]
    model(config(**SIZES, num_hidden_layers=2)).save_pretrained(tmp_path)

    def plain(causal: Any) -> None:
        causal.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        causal.enable_input_require_grads()

    assert _alive(tmp_path, "int8", plain) == 4 * 2
    assert _alive(tmp_path, "int8", lambda causal: recompute_layers(causal, "int8")) == 0
    assert _alive(tmp_path, "none", lambda causal: recompute_layers(causal, "none")) == 0


def _alive(folder: Path, kind: Any, recompute: Callable[[Any], None]) -> int:
    """Inputs of the projections whose storage is still there after the forward pass."""
    causal = load_causal(folder, torch.bfloat16, kind)
    causal.requires_grad_(False)
    recompute(causal)
    gated = attach(causal, PLAIN.lora, GateConfig(enabled=False))
    gated.train()
    seen: list[StorageWeakRef] = []
    for module in gated.causal.modules():
        if hasattr(module, "base_layer"):
            module.base_layer.register_forward_pre_hook(
                lambda _m, inputs: seen.append(StorageWeakRef(inputs[0].untyped_storage()))
            )
    hidden = gated.hidden(torch.randint(1, 199, (ROWS, TOKENS)))
    assert hidden.requires_grad and len(seen) == 4 * 2
    return sum(not storage.expired() for storage in seen)
