"""Tiny models and tokenizers, made once a session: Phi-4-mini's configuration in small, and two LoRA + gate models."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Phi3Config, Phi3ForCausalLM

from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.tokenizer import train_tokenizer
from so8t.core.config import GateConfig, LoraConfig

TEXTS = [
    "検査報告は部外秘です。社内の閲覧権限を確かめてから、担当者に回してください。",
    "経費精算の締め日は毎月二十五日です。領収書を添えて申請してください。",
    "航空機の整備記録は、点検のたびに署名して保管します。",
    "患者さんの名前と病名を、許可なく外部へ送ってはいけません。",
    "ALLOW ESCALATE DENY\n依頼を判定して1行目に書き、2行目から応答してください。",
    "The quarterly report isn't final; they'll send VPN settings on 2024-05-01.",
    "権限:社内限定 区分:部外秘\n送信前に上長の承認を受けてください。",
]
# The o200k rule as OpenAI and Microsoft publish it (Phi-4-mini's tokenizer.json), not llama.cpp's reading of it.
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
# Phi-4-mini-instruct's own template: tools, and the end of text after a finished conversation.
PHI4_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
PHI4_SPECIAL = (
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|assistant|>",
    "<|end|>",
    "<|user|>",
    "<|system|>",
    "<|tool|>",
    "<|/tool|>",
)
CONTEXT, MAXIMUM, VOCABULARY = 1024, 4096, 1024


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # rows this small gain nothing from a second one


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The tiny profile's tokenizer, 512 tokens."""
    return train_tokenizer(TEXTS, 512)


def phi3_config(vocabulary: int = 512, **changes: Any) -> Phi3Config:
    values: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "original_max_position_embeddings": 512, "tie_word_embeddings": True, "sliding_window": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.1,
    }  # fmt: skip
    return Phi3Config(**values | changes)


@pytest.fixture(scope="session")
def make_phi3() -> Callable[..., Phi3ForCausalLM]:
    """A random Phi-3 with 2 layers, hidden 64, 4 query and 2 KV heads; the same weights for the same arguments."""

    def make(seed: int = 0, **changes: Any) -> Phi3ForCausalLM:
        torch.manual_seed(seed)
        return Phi3ForCausalLM(phi3_config(**changes)).eval()

    return make


@pytest.fixture(scope="session")
def make_gated(make_phi3: Callable[..., Phi3ForCausalLM]) -> Callable[..., GatedModel]:
    """LoRA rank 4 and gates on a random Phi-3; `strength` fills B and skew, so that both do something."""

    def make(
        strength: float = 0.0, dropout: float = 0.0, gate: bool = True, seed: int = 0, **changes: Any
    ) -> GatedModel:
        base = make_phi3(seed, **changes)
        torch.manual_seed(seed + 1)
        model = attach(base, LoraConfig(rank=4, alpha=8, dropout=dropout), GateConfig(enabled=gate))
        fill(model, strength)
        return model

    return make


@torch.no_grad()
def fill(model: GatedModel, strength: float) -> None:
    if strength:
        generator = torch.Generator().manual_seed(5)
        for name, parameter in model.parameters().items():
            if "lora_B" in name or name == "rotations.skew":
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * strength)
        if model.rotations is not None:
            model.rotations.refresh()


@pytest.fixture
def gated(make_gated: Callable[..., GatedModel]) -> GatedModel:
    """A fresh gated LoRA model whose rotations and B are far from zero."""
    return make_gated(0.3)


def phi4_tokenizer(folder: Path, rule: str = O200K) -> dict[str, int]:
    """Write tokenizer.json and tokenizer_config.json as Phi-4-mini-instruct ships them; returns the special numbers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 64, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in PHI4_SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": False, "add_eos_token": False, "add_prefix_space": False, "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
        "chat_template": PHI4_TEMPLATE, "clean_up_tokenization_spaces": False, "model_max_length": 131072,
        "tokenizer_class": "GPT2TokenizerFast",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return {token: tokenizer.token_to_id(token) for token in PHI4_SPECIAL}


def phi4_config(special: dict[str, int]) -> dict[str, Any]:
    """config.json with Phi-4-mini-instruct's keys and spellings, other numbers."""
    end = special["<|endoftext|>"]
    half = int(0.75 * 64) // 2
    return {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
        "bos_token_id": end, "embd_pdrop": 0.0, "eos_token_id": end, "full_attn_mod": 1, "hidden_act": "silu",
        "hidden_size": 256, "initializer_range": 0.02, "intermediate_size": 512, "interpolate_factor": 1,
        "lm_head_bias": False, "max_position_embeddings": MAXIMUM, "mlp_bias": False, "model_type": "phi3",
        "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
        "original_max_position_embeddings": CONTEXT, "pad_token_id": end, "partial_rotary_factor": 0.75,
        "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "long_factor": [1.0 + 0.5 * i for i in range(half)], "short_factor": [1.0 + 0.03 * i for i in range(half)],
            "type": "longrope",
        },
        "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0", "use_cache": True, "vocab_size": VOCABULARY,
    }  # fmt: skip


@pytest.fixture(scope="session")
def phi4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as one would download Phi-4-mini-instruct, in small: bf16 safetensors, old spelling of the config."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("Phi-4-mini-instruct")
    config = phi4_config(phi4_tokenizer(folder))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(3)
    made = Phi3Config.from_dict(copy.deepcopy({k: v for k, v in config.items() if k != "auto_map"}))
    made.initializer_range = 0.1  # far enough from uniform logits that greedy tokens mean something
    model = Phi3ForCausalLM(made).to(torch.bfloat16)
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def burned(phi4: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Phi-4-mini-shaped model as burn-in leaves it: fp32, saved by transformers 5 in its own spelling."""
    from so8t.build.model.loading import load_causal, load_tokenizer

    folder = tmp_path_factory.mktemp("burned")
    load_causal(phi4, torch.float32).save_pretrained(folder)
    load_tokenizer(phi4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def f16(burned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from so8t.build.export.phi3 import export_f16

    out = tmp_path_factory.mktemp("gguf") / "model-F16.gguf"
    export_f16(burned, out, "so8t Phi-3 tiny")
    return out
