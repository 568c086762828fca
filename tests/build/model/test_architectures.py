"""Every supported decoder in small, with the quirks of its real configuration: counted, gated, folded, proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertLMHeadModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
)

from so8t.build.burnin.fold import fold
from so8t.build.burnin.proof import prove
from so8t.build.model.attach import GatedModel, attach, output_projections
from so8t.build.model.head import Head, check_head, output_head
from so8t.build.model.loading import load_causal
from so8t.core.config import BurnInConfig, GateConfig, LoraConfig
from so8t.core.errors import BaseUnusable, TargetMissing

RANK = 4
LORA = LoraConfig(rank=RANK, alpha=8, dropout=0.0)
COMMON: dict[str, Any] = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.15,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75, "factor": 4.0,
    "original_max_position_embeddings": 32, "short_factor": [1.0 + 0.05 * i for i in range(6)],
    "long_factor": [1.0 + 0.6 * i for i in range(6)],
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
GEMMA_ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
}


def phi4_mini(**changes: Any) -> Any:
    """Fused projections, tied embeddings, longrope on three quarters of each head, grouped KV heads."""
    values = COMMON | {"num_hidden_layers": 2, "tie_word_embeddings": True, "sliding_window": 262144}
    values |= {"rope_parameters": LONGROPE, "original_max_position_embeddings": 32}
    return Phi3ForCausalLM(Phi3Config(**values | changes))


def phi4(**changes: Any) -> Any:
    """Phi-4: the same model type, untied, whole rotary, another grouping."""
    values = COMMON | {"num_hidden_layers": 2, "num_attention_heads": 8, "tie_word_embeddings": False}
    rope = {"rope_type": "default", "rope_theta": 250000.0}
    return Phi3ForCausalLM(Phi3Config(**values | {"rope_parameters": rope, "sliding_window": None} | changes))


def llama(**changes: Any) -> Any:
    """Llama 3.2: tied, its own rope scaling."""
    values = COMMON | {"num_hidden_layers": 2, "tie_word_embeddings": True, "rope_parameters": LLAMA3}
    return LlamaForCausalLM(LlamaConfig(**values | changes))


def llama_bias(**changes: Any) -> Any:
    """Biases everywhere, on o_proj too, and an odd number of layers."""
    values = COMMON | {"num_hidden_layers": 3, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
    return LlamaForCausalLM(LlamaConfig(**values | changes))


def qwen2(**changes: Any) -> Any:
    """Biases on q, k and v alone; window attention in the upper layer."""
    values = COMMON | {"num_hidden_layers": 2, "tie_word_embeddings": True, "use_sliding_window": True}
    return Qwen2ForCausalLM(Qwen2Config(**values | {"sliding_window": 8, "max_window_layers": 1} | changes))


def qwen3(**changes: Any) -> Any:
    """Norms on q and k, heads wider than hidden / heads."""
    values = COMMON | {"num_hidden_layers": 2, "head_dim": 32, "tie_word_embeddings": True}
    return Qwen3ForCausalLM(Qwen3Config(**values | changes))


def gemma2(**changes: Any) -> Any:
    """Caps on attention and on the logits, a norm behind the attention, every other layer with a window."""
    values = COMMON | {"num_hidden_layers": 2, "head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": 8}
    values |= {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
    return Gemma2ForCausalLM(Gemma2Config(**values | changes))


def gemma3(**changes: Any) -> Any:
    """One KV head, q and k norms, window and full layers with a rope each."""
    values = COMMON | {"num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 8}
    values |= {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}
    return Gemma3ForCausalLM(Gemma3TextConfig(**values | {"rope_parameters": GEMMA_ROPE} | changes))


# Parameters of one layer by hand, hidden 64, feed-forward 96: attention, biases, feed-forward, norms; then rank x (in +
# out) over one layer's projections; then layers, and whether the embeddings of 128 x 64 = 8,192 count twice.
BY_HAND: dict[str, tuple[Callable[..., Any], int, int, int, bool]] = {
    "phi4-mini": (phi4_mini, 64 * 128 + 64 * 64 + 3 * 64 * 96 + 2 * 64, (64 + 128) + 128 + (64 + 192) + 160, 2, True),
    "phi4": (phi4, 64 * 96 + 64 * 64 + 3 * 64 * 96 + 2 * 64, (64 + 96) + 128 + (64 + 192) + 160, 2, False),
    "llama": (llama, 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96 + 2 * 64, 2 * 128 + 2 * 96 + 3 * 160, 2, True),
    "llama-bias": (
        llama_bias,
        2 * 64 * 64 + 2 * 64 * 32 + (64 + 32 + 32 + 64) + 3 * 64 * 96 + (96 + 96 + 64) + 2 * 64,
        2 * 128 + 2 * 96 + 3 * 160, 3, False,
    ),
    "qwen2": (
        qwen2, 2 * 64 * 64 + 2 * 64 * 32 + (64 + 32 + 32) + 3 * 64 * 96 + 2 * 64, 2 * 128 + 2 * 96 + 3 * 160, 2, True
    ),
    "qwen3": (
        qwen3, 2 * 64 * 128 + 2 * 64 * 64 + 2 * 32 + 3 * 64 * 96 + 2 * 64, 2 * 192 + 2 * 128 + 3 * 160, 2, True
    ),
    "gemma2": (gemma2, 2 * 64 * 128 + 2 * 64 * 64 + 3 * 64 * 96 + 4 * 64, 2 * 192 + 2 * 128 + 3 * 160, 2, True),
    "gemma3": (
        gemma3, 2 * 64 * 128 + 2 * 64 * 32 + 2 * 32 + 3 * 64 * 96 + 4 * 64, 2 * 192 + 2 * 96 + 3 * 160, 3, True
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", list(BY_HAND))
# Past the window of 8 and past the 32 tokens from which longrope takes its long factors.
PROMPTS = [list(range(1, 13)), [(7 * i) % 128 for i in range(48)]]
IDS = torch.tensor(PROMPTS[1:])


def make(name: str, **changes: Any) -> Any:
    """Random weights, also where a real model starts at one or zero: norms and biases."""
    torch.manual_seed(11)
    model = BY_HAND[name][0](**changes)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def gated(name: str, strength: float = 0.3) -> GatedModel:
    model = attach(make(name), LORA, GateConfig())
    model.train(False)
    assert model.rotations is not None
    with torch.no_grad():
        for key, parameter in model.parameters().items():
            if "lora_A" not in key:
                parameter.normal_(0, strength)
    model.rotations.refresh()
    return model


@EVERY
def test_counts_equal_the_arithmetic(name: str) -> None:
    _, layer, lora, layers, tied = BY_HAND[name]
    assert attach(make(name), LORA, GateConfig()).counts() == {
        "base_parameters": layers * layer + 64 + (1 if tied else 2) * 128 * 64,
        "lora_parameters": layers * RANK * lora,
        "gate_parameters": layers * 8 * 28,
    }


@EVERY
def test_at_the_start_the_logits_are_the_bases(name: str) -> None:
    base = make(name)
    with torch.no_grad():
        before = base(IDS).logits
        model = attach(base, LORA, GateConfig())
        model.train(False)
        assert torch.equal(model.peft(IDS).logits, before)
        assert torch.equal(model.head.logits(model.hidden(IDS)), before)


@EVERY
def test_burn_in_is_proved(name: str) -> None:
    model = gated(name)
    with torch.no_grad():
        assert (model.peft(IDS).logits - make(name)(IDS).logits).abs().max() > 0.05  # there is something to fold
    plain, error = fold(model)
    assert error < 1e-10
    checks = prove(model, plain, PROMPTS, BurnInConfig(), error)
    assert [f"{c.name} {c.precision}" for c in checks if not c.passed] == []
    assert type(plain) is type(make(name))


@EVERY
def test_head_of_a_gated_model_gives_its_logits(name: str) -> None:
    model = gated(name)
    head = check_head(model.causal)
    assert head == model.head == output_head(model.causal)
    assert head.linear is model.causal.lm_head
    assert head.softcap == (3.0 if name == "gemma2" else 0.0)
    with torch.no_grad():
        assert torch.equal(head.logits(model.hidden(IDS)), model.peft(IDS).logits)
        uncapped = Head(head.linear).logits(model.hidden(IDS))
    assert torch.equal(uncapped, model.peft(IDS).logits) == (name != "gemma2")


@EVERY
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    model = make(name)
    model.save_pretrained(tmp_path)
    again = load_causal(tmp_path, torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


@EVERY
def test_folded_saved_and_loaded_it_is_the_gated_one(name: str, tmp_path: Path) -> None:
    model = gated(name)
    fold(model)[0].save_pretrained(tmp_path)
    with torch.no_grad():
        difference = load_causal(tmp_path, torch.float32).eval()(IDS).logits - model.peft(IDS).logits
    assert difference.abs().max() < 1e-4


@EVERY
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_head_is_checked_in_low_precision_too(name: str, precision: torch.dtype) -> None:
    model = make(name).to(precision)
    model.train()
    assert check_head(model).linear.weight.dtype == precision
    assert model.training


@EVERY
@pytest.mark.parametrize("wrong", ["query_key_value", "embed_tokens", "lm_head"])
def test_target_that_matches_nothing(name: str, wrong: str) -> None:
    with pytest.raises(TargetMissing, match=wrong):
        attach(make(name), LoraConfig(rank=RANK, targets=("o_proj", wrong)), GateConfig())


@EVERY
def test_gate_that_misses_a_layer(name: str) -> None:
    model = make(name)
    attention = model.model.layers[1].self_attn
    attention.out, attention.o_proj = attention.o_proj, None
    with pytest.raises(TargetMissing, match="o_proj"):
        attach(model, LoraConfig(rank=RANK, targets=("down_proj",)), GateConfig())


@EVERY
def test_gate_behind_something_that_is_not_linear(name: str) -> None:
    model = make(name)
    model.model.layers[0].self_attn.o_proj = nn.Identity()
    with pytest.raises(TargetMissing, match="o_proj"):
        attach(model, LoraConfig(rank=RANK, targets=("down_proj",)), GateConfig())


@EVERY
def test_hidden_size_that_is_no_multiple_of_eight(name: str) -> None:
    model = make(name, hidden_size=60, num_attention_heads=5, num_key_value_heads=1, rope_parameters=None)
    with pytest.raises(TargetMissing, match="hidden_size 60"):
        attach(model, LORA, GateConfig())


SMALL_VISION = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
SMALL_BERT = BertConfig(
    vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, is_decoder=False
)


def multimodal() -> Gemma3Config:
    text = Gemma3TextConfig(**COMMON | {"num_hidden_layers": 2, "head_dim": 16})
    return Gemma3Config(text_config=text.to_dict(), vision_config=SMALL_VISION, mm_tokens_per_image=4)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "multimodal": (multimodal, "multimodal wrapper"),
    "encoder-decoder": (lambda: T5Config(architectures=["T5ForConditionalGeneration"]), "encoder-decoder"),
    "encoder": (lambda: SMALL_BERT, "encoder, not a decoder"),
    "masked": (lambda: ModernBertConfig(architectures=["ModernBertForMaskedLM"]), "not a causal language model"),
    "embedding": (
        lambda: Gemma3TextConfig(**COMMON | {"head_dim": 16}, use_bidirectional_attention=True), "both directions"
    ),
    "classifier": (lambda: LlamaConfig(**COMMON, architectures=["LlamaForSequenceClassification"]), "not a causal"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(REFUSED))
def test_folder_of_what_is_no_decoder_is_refused(kind: str, tmp_path: Path) -> None:
    """By its configuration alone: there are no weights here to read."""
    config, why = REFUSED[kind]
    (tmp_path / "config.json").write_text(json.dumps(config().to_dict()), encoding="utf-8")
    with pytest.raises(BaseUnusable, match=why) as caught:
        load_causal(tmp_path, torch.float32)
    assert caught.value.where == str(tmp_path)


def test_loaded_model_that_is_no_decoder_is_refused() -> None:
    with pytest.raises(BaseUnusable, match="multimodal wrapper"):
        attach(Gemma3ForConditionalGeneration(multimodal()), LORA, GateConfig())
    with pytest.raises(BaseUnusable, match="encoder"):
        attach(BertLMHeadModel(BertConfig(**SMALL_BERT.to_dict() | {"is_decoder": False})), LORA, GateConfig())


def test_head_that_does_more_to_the_logits_is_refused() -> None:
    """Granite divides its logits by a number that Head does not know."""
    torch.manual_seed(0)
    model = GraniteForCausalLM(GraniteConfig(**COMMON | {"num_hidden_layers": 1, "logits_scaling": 8.0}))
    with pytest.raises(TargetMissing, match="logits - head"):
        check_head(model)
    model.config.logits_scaling = 1.0
    model.logits_scaling = 1.0
    assert check_head(model).linear is model.lm_head


def test_head_that_is_not_linear_is_refused() -> None:
    model = make("llama")
    model.lm_head = nn.Sequential(model.lm_head, nn.Tanh())
    with pytest.raises(TargetMissing, match="Sequential"):
        output_head(model)


def test_spoiled_weights_do_not_pass_the_probe() -> None:
    model = make("llama")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(TargetMissing, match="nan"):
        check_head(model)


def test_gates_keep_to_the_layers_order() -> None:
    """Eleven layers: as text, layer 10 would stand before layer 2."""
    model = attach(make("llama", num_hidden_layers=11), LORA, GateConfig())
    expected = [layer.self_attn.o_proj for layer in model.causal.model.layers]
    assert all(a is b for a, b in zip(output_projections(model.peft), expected, strict=True))
