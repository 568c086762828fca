"""LoRA and gates hit every layer of any decoder that ends its attention in o_proj, or it is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from so8t.build.model.attach import (
    SEVEN,
    attach,
    lora_parameters,
    lora_targets,
    output_projections,
)
from so8t.build.model.shape import gate_parameters
from so8t.core.config import GateConfig, LoraConfig
from so8t.core.errors import TargetMissing

SMALL = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0)
SPLIT = list(SEVEN)
FUSED = ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]


def phi3(tied: bool) -> Any:
    from transformers import Phi3Config

    return Phi3ForCausalLM(Phi3Config(**SMALL, tie_word_embeddings=tied, original_max_position_embeddings=64))


def llama(tied: bool) -> Any:
    return LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=tied))


def qwen2(tied: bool) -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=tied))


def gemma(tied: bool) -> Any:
    return GemmaForCausalLM(GemmaConfig(**SMALL, head_dim=32, tie_word_embeddings=tied))  # heads x head_dim > hidden


def gemma2(tied: bool) -> Any:
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16, tie_word_embeddings=tied))


# rank x (in + out), by hand. Split: q 64+64, k and v 64+32, o 64+64, gate and up 64+96, down 96+64.
SPLIT_COUNT = 2 * 4 * (128 + 2 * 96 + 128 + 3 * 160)
ARCHITECTURES = {
    "phi3": (phi3, FUSED, 2 * 4 * ((64 + 128) + 128 + (64 + 192) + 160)),
    "llama": (llama, SPLIT, SPLIT_COUNT),
    "qwen2": (qwen2, SPLIT, SPLIT_COUNT),
    "gemma": (gemma, SPLIT, 2 * 4 * ((64 + 128) + 2 * (64 + 64) + (128 + 64) + 3 * 160)),
    "gemma2": (gemma2, SPLIT, SPLIT_COUNT),
}
EVERY = pytest.mark.parametrize("architecture", list(ARCHITECTURES))


@EVERY
@pytest.mark.parametrize("tied", [False, True])
def test_every_layer_is_hit(architecture: str, tied: bool) -> None:
    make, targets, count = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    base = make(tied)
    assert sorted(lora_targets(base, ())) == sorted(targets)
    model = attach(base, LORA, GateConfig())
    parameters = model.parameters()
    assert sum(p.numel() for n, p in parameters.items() if "lora_" in n) == count
    for layer in range(2):
        for target in targets:
            names = [n for n in parameters if f".layers.{layer}." in n and f".{target}." in n]
            assert len(names) == 2, (layer, target)  # A and B
    assert model.rotations is not None
    assert parameters["rotations.skew"].shape == (2, 8, 28)
    assert gate_parameters(2, 64) == model.rotations.skew.numel() == 448
    assert not any(p.requires_grad for n, p in base.named_parameters() if "lora_" not in n)
    hooked = output_projections(model.peft)
    assert [len(m._forward_hooks) for m in hooked] == [1, 1]


@EVERY
def test_at_the_start_nothing_changes_and_then_both_gates_do(architecture: str) -> None:
    """R = I and B = 0 give the base's states; turning either layer's gate alone changes them."""
    torch.manual_seed(0)
    base = ARCHITECTURES[architecture][0](True).eval()
    ids = torch.arange(1, 13)[None]
    with torch.no_grad():
        before = base(ids).logits
        model = attach(base, LORA, GateConfig())
        model.train(False)
        assert model.rotations is not None
        assert torch.allclose(base.lm_head(model.hidden(ids)), base.lm_head(base.model(ids).last_hidden_state))
        assert torch.allclose(model.peft(ids).logits, before, atol=1e-6)
        for layer in range(2):
            model.rotations.skew.zero_()
            model.rotations.skew[layer] = 0.2
            model.rotations.refresh()
            assert (model.peft(ids).logits - before).abs().max() > 1e-4, layer


@EVERY
def test_gradients_reach_every_lora_and_every_gate(architecture: str) -> None:
    torch.manual_seed(0)
    model = attach(ARCHITECTURES[architecture][0](False), LORA, GateConfig())
    assert model.rotations is not None
    with torch.no_grad():
        for name, parameter in model.parameters().items():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    model.hidden(torch.arange(1, 11)[None])[..., 0].square().sum().backward()
    model.rotations.pull_gradients()
    for name, parameter in model.parameters().items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert (model.parameters()["rotations.skew"].grad.abs().amax((1, 2)) > 0).all()  # type: ignore[union-attr]


def test_gate_turns_base_and_lora_together() -> None:
    """y = R (W + s B A) x at the module, not R W x + s B A x (SPEC Rotation: attach after get_peft_model)."""
    torch.manual_seed(0)
    model = attach(llama(True), LORA, GateConfig())
    assert model.rotations is not None
    with torch.no_grad():
        model.rotations.skew.normal_(0, 0.3)
        projection = output_projections(model.peft)[1]
        projection.lora_B["default"].weight.normal_()
        model.rotations.refresh()
        x = torch.randn(3, 64)
        weight = (
            projection.base_layer.weight + 2 * projection.lora_B["default"].weight @ projection.lora_A["default"].weight
        )
        turned = x @ weight.mT @ torch.block_diag(*model.rotations.matrices()[1]).mT
        assert torch.allclose(projection(x), turned, atol=1e-5)


def test_qwen2_keeps_its_attention_biases() -> None:
    base = qwen2(False)
    assert base.model.layers[0].self_attn.q_proj.bias is not None
    model = attach(base, LORA, GateConfig())
    assert not any("bias" in n for n in model.parameters())


def test_gates_can_be_switched_off() -> None:
    model = attach(llama(False), LORA, GateConfig(enabled=False))
    assert model.rotations is None
    assert "rotations.skew" not in model.parameters()
    assert [len(m._forward_hooks) for m in output_projections(model.peft)] == [0, 0]


def test_the_plans_seven_names_map_to_the_fused_ones_on_phi3() -> None:
    assert lora_targets(phi3(True), SEVEN) == FUSED
    assert lora_targets(phi3(True), ("q_proj", "v_proj")) == ["qkv_proj"]
    assert lora_targets(phi3(True), ("up_proj",)) == ["gate_up_proj"]
    assert lora_targets(llama(True), ("q_proj", "v_proj")) == ["q_proj", "v_proj"]


@pytest.mark.parametrize("wrong", ["q_prjo", "lm_head", "c_attn", "proj", "self_attn"])
def test_wrong_target_is_an_error(wrong: str) -> None:
    with pytest.raises(TargetMissing) as caught:
        attach(llama(False), LoraConfig(rank=4, targets=("o_proj", wrong)), GateConfig())
    assert wrong in caught.value.detail


def test_target_that_sits_in_some_layers_only_is_an_error() -> None:
    model = llama(False)
    model.model.layers[1].mlp.up_proj = nn.Identity()
    with pytest.raises(TargetMissing) as caught:
        lora_targets(model, ())
    assert "up_proj: 1 / 2" in caught.value.detail


def gpt2() -> Any:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
    )


def opt() -> Any:
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=128, hidden_size=64, ffn_dim=96, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64, word_embed_proj_dim=64, bos_token_id=0, eos_token_id=0, pad_token_id=1,
        )
    )  # fmt: skip


@pytest.mark.parametrize("make", [gpt2, opt])
def test_architecture_without_o_proj_is_an_error(make: Callable[[], Any]) -> None:
    with pytest.raises(TargetMissing):
        attach(make(), LORA, GateConfig())


def test_o_proj_missing_is_an_error_even_when_lora_fits() -> None:
    """OPT has q_proj and v_proj everywhere but calls its output projection out_proj: no gate, so no model."""
    with pytest.raises(TargetMissing) as caught:
        attach(opt(), LoraConfig(rank=4, targets=("q_proj", "v_proj")), GateConfig())
    assert "o_proj: 0 / 2" in caught.value.detail


def test_hidden_size_that_is_no_multiple_of_eight_is_an_error() -> None:
    config = LlamaConfig(**SMALL | {"hidden_size": 60, "num_attention_heads": 3, "num_key_value_heads": 1})
    with pytest.raises(TargetMissing) as caught:
        attach(LlamaForCausalLM(config), LORA, GateConfig())
    assert "60" in caught.value.detail


def test_lora_arithmetic_counts_wrapped_and_plain_layers_alike() -> None:
    model = llama(False)
    before = lora_parameters(model, SPLIT, 4)
    attach(model, LORA, GateConfig())
    assert lora_parameters(model, SPLIT, 4) == before == SPLIT_COUNT
