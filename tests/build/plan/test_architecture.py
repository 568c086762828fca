"""Parameters from config.json alone, equal to those of real models of every architecture."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from so8t.build.model import attach
from so8t.build.model.shape import gate_parameters
from so8t.build.plan import architecture
from so8t.build.plan.architecture import GEMMA_270M, PHI4_MINI, Architecture, architecture_of, base_values
from so8t.core.config import BaseConfig, GateConfig, LoraConfig, load_config
from so8t.core.errors import BaseUnusable, RecordInvalid, SourceMissing

SIZES: dict[str, Any] = {
    "vocab_size": 104, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
KINDS = {
    "phi3": {}, "phi3, all heads": {"model_type": "phi3", "num_key_value_heads": 4}, "llama": {},
    "llama with biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama of wide heads": {"model_type": "llama", "head_dim": 40}, "mistral": {}, "qwen2": {},
    "qwen3": {"head_dim": 24}, "qwen3 with biases": {"model_type": "qwen3", "head_dim": 24, "attention_bias": True},
    "gemma": {"head_dim": 24}, "gemma2": {"head_dim": 24}, "gemma3_text": {"head_dim": 24},
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_counts_of_a_real_model(name: str, tied: bool) -> None:
    extra: dict[str, Any] = {"model_type": name} | KINDS[name]
    kind = extra.pop("model_type")
    config = AutoConfig.for_model(kind, **SIZES | extra, tie_word_embeddings=tied)
    with torch.device("meta"):  # counts need no numbers
        model = AutoModelForCausalLM.from_config(config)
    shape = Architecture.of(json.loads(config.to_json_string(use_diff=False)))
    assert shape.total == sum(p.numel() for p in model.parameters())
    linear = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]
    assert shape.linear == sum(m.weight.numel() for m in linear)
    assert {p.name for p in shape.projections} == {
        n.rsplit(".", 1)[-1] for n, m in model.named_modules() if m in linear
    }


@pytest.mark.parametrize("name", ["phi3", "llama", "qwen2", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("targets", [(), ("q_proj", "o_proj"), ("down_proj",)])
def test_lora_and_gates_of_a_real_model(name: str, targets: tuple[str, ...]) -> None:
    config = AutoConfig.for_model(name, **SIZES | KINDS[name])
    gated = attach.attach(AutoModelForCausalLM.from_config(config), LoraConfig(rank=4, targets=targets), GateConfig())
    shape, counts = Architecture.of(config.to_dict()), gated.counts()
    assert shape.lora(4, targets) == counts["lora_parameters"]
    assert gate_parameters(shape.layers, shape.hidden) == counts["gate_parameters"]
    assert shape.total == counts["base_parameters"]


def test_the_names_are_those_of_attach() -> None:
    assert (architecture.SEVEN, architecture.FUSED) == (attach.SEVEN, attach.FUSED)


def test_phi4_mini() -> None:
    shape = Architecture.of(PHI4_MINI)
    assert (shape.total, shape.embedding, shape.lora(64)) == (3_836_021_760, 614_596_608, 92_274_688)
    assert gate_parameters(shape.layers, shape.hidden) == 344_064


def test_gemma_270m() -> None:
    with torch.device("meta"):
        kind = str(GEMMA_270M["model_type"])
        config = AutoConfig.for_model(kind, **{k: v for k, v in GEMMA_270M.items() if k != "model_type"})
        model = AutoModelForCausalLM.from_config(config)
    assert Architecture.of(GEMMA_270M).total == sum(p.numel() for p in model.parameters()) == 268_098_176


@given(st.integers(1, 9), st.integers(1, 64), st.sampled_from(sorted(architecture.KINDS)))
def test_everything_grows_by_the_layer(layers: int, rank: int, kind: str) -> None:
    one, many = (Architecture.of(SIZES | {"model_type": kind, "num_hidden_layers": n}) for n in (1, layers))
    outside = one.embedding * (1 if one.tied else 2) + one.hidden
    assert many.total - outside == layers * (one.total - outside)
    assert many.lora(rank) == layers * rank * one.lora(1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"model_type": "gemma3", "text_config": {}}, "gemma3"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": -8}, "hidden_size"),
        ({"num_hidden_layers": 2**40}, "num_hidden_layers"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"num_attention_heads": True}, "num_attention_heads"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
    ],
)
def test_what_is_no_decoder_or_absurd(change: dict[str, Any], word: str) -> None:
    with pytest.raises(BaseUnusable) as error:
        Architecture.of(SIZES | {"model_type": "llama"} | change, "model/config.json")
    assert word in error.value.detail and error.value.where == "model/config.json"


def overlay(tmp_path: Path, path: Path) -> Path:
    file = tmp_path / "so8t.toml"
    file.write_text(f"[base]\npath = {json.dumps(str(path))}\n", encoding="utf-8")
    return file


def test_a_folder_is_read(tmp_path: Path, phi4: Path) -> None:
    shape = architecture_of(load_config("phi4-mini-12gb", overlay(tmp_path, phi4)))
    with safe_open(phi4 / "model.safetensors", "pt") as f:
        assert shape.total == sum(math.prod(f.get_slice(k).get_shape()) for k in f.keys())  # noqa: SIM118


def test_a_gguf_is_read(tmp_path: Path, burned: Path) -> None:
    from so8t.build.export.phi3 import export_f16

    file = tmp_path / "model.gguf"
    export_f16(burned, file, "so8t-test")
    ours = architecture_of(load_config("micro", overlay(tmp_path, file)))
    assert ours == Architecture.of(json.loads((burned / "config.json").read_text(encoding="utf-8")))
    file.write_bytes(b"GGUF broken")
    with pytest.raises(BaseUnusable):
        architecture_of(load_config("micro", overlay(tmp_path, file)))


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        architecture_of(load_config("micro", overlay(tmp_path, tmp_path / "none")))
    (tmp_path / "config.json").write_text("[1", encoding="utf-8")
    with pytest.raises(RecordInvalid):
        architecture_of(load_config("micro", overlay(tmp_path, tmp_path)))
    (tmp_path / "config.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(BaseUnusable):
        architecture_of(load_config("micro", overlay(tmp_path, tmp_path)))


def test_which_model_a_profile_is_planned_for() -> None:
    assert architecture_of(load_config("tiny")).hidden == 256
    assert base_values(load_config("phi4-mini-80gb")) is PHI4_MINI
    assert base_values(load_config("gemma-270m")) is GEMMA_270M
    other = dataclasses.replace(load_config("tiny"), base=BaseConfig(package="another"))
    with pytest.raises(BaseUnusable, match="another"):
        base_values(other)
