"""A GGUF base becomes the folder it was made from, or it is refused: nothing of its meaning is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
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

from so8t.build.model.gguf_base import convert
from so8t.build.model.gguf_header import MAXIMUM_KEYS, read_header
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import CHAT_TEMPLATE, GEMMA_TEMPLATE, chat_format
from so8t.core.errors import BaseUnusable

COMMON: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.15, "rms_norm_eps": 1e-5,
    "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75, "factor": 4.0,
    "original_max_position_embeddings": 32, "short_factor": [1.0 + 0.05 * i for i in range(6)],
    "long_factor": [1.0 + 0.6 * i for i in range(6)],
}  # fmt: skip
PARTIAL = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
SCALED = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
}


def made(name: str) -> tuple[str, Any]:
    """(GGUF architecture, model), each with what transformers' own reader leaves out."""
    torch.manual_seed(5)
    kinds: dict[str, Callable[[], tuple[str, Any]]] = {
        "phi3": lambda: ("phi3", Phi3ForCausalLM(Phi3Config(
            **COMMON | {"rope_parameters": PARTIAL, "tie_word_embeddings": False, "sliding_window": None},
            original_max_position_embeddings=128,
        ))),
        "phi4-mini": lambda: ("phi3", Phi3ForCausalLM(Phi3Config(
            **COMMON | {"rope_parameters": LONGROPE, "tie_word_embeddings": True, "sliding_window": 64},
            original_max_position_embeddings=32,
        ))),
        "llama": lambda: ("llama", LlamaForCausalLM(LlamaConfig(**COMMON, tie_word_embeddings=False))),
        "llama-3": lambda: ("llama", LlamaForCausalLM(LlamaConfig(
            **COMMON | {"rope_parameters": LLAMA3, "tie_word_embeddings": True, "head_dim": 32}
        ))),
        "llama-bias": lambda: ("llama", LlamaForCausalLM(LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True))),
        "qwen2": lambda: ("qwen2", Qwen2ForCausalLM(Qwen2Config(**COMMON, tie_word_embeddings=True))),
        "qwen3": lambda: ("qwen3", Qwen3ForCausalLM(Qwen3Config(**COMMON, head_dim=32, tie_word_embeddings=True))),
        "gemma2": lambda: ("gemma2", Gemma2ForCausalLM(Gemma2Config(
            **COMMON, head_dim=32, query_pre_attn_scalar=32, sliding_window=8, attn_logit_softcapping=5.0,
            final_logit_softcapping=3.0,
        ))),
        "gemma3": lambda: ("gemma3", Gemma3ForCausalLM(Gemma3TextConfig(
            **COMMON | {"num_hidden_layers": 6}, head_dim=32, query_pre_attn_scalar=32, sliding_window=8,
            rope_parameters=SCALED,
        ))),
    }  # fmt: skip
    architecture, model = kinds[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return architecture, model.eval()


NAMES = ("phi3", "phi4-mini", "llama", "llama-3", "llama-bias", "qwen2", "qwen3", "gemma2", "gemma3")
IDS = torch.tensor([[(7 * i) % 500 for i in range(48)]])


FileOf = Callable[..., tuple[Path, Any]]


@pytest.fixture(scope="session")
def file_of(write_gguf: Callable[..., Path], tokenizer: Any) -> FileOf:
    """(file, the model it was made from) of one of NAMES, with other metadata if asked."""

    def file_of(name: str, folder: Path, **more: Any) -> tuple[Path, Any]:
        architecture, model = made(name)
        words = None if architecture.startswith("gemma") else tokenizer
        return write_gguf(folder / f"{name}.gguf", architecture, model, words, **more), model

    return file_of


@pytest.mark.parametrize("name", NAMES)
def test_converted_folder_is_the_model_it_was_made_from(name: str, tmp_path: Path, file_of: FileOf) -> None:
    file, model = file_of(name, tmp_path)
    said = convert(file, tmp_path / "model")
    again = load_causal(tmp_path / "model", torch.float32).eval()
    with torch.no_grad():
        difference = (again(IDS).logits - model(IDS).logits).abs().max()
    assert difference < 1e-4
    assert said["architecture"] == read_header(file).architecture and said["tensor_types"] == ["F32"]
    assert type(again) is type(model)
    assert again.config.tie_word_embeddings == model.config.tie_word_embeddings


LOST = {
    "phi3": {"rope.dimension_count": None}, "gemma2": {"final_logit_softcapping": None},
    "gemma3": {"rope.scaling.type": None},
}  # fmt: skip


@pytest.mark.parametrize("name", list(LOST))
def test_what_is_amended_matters(name: str, tmp_path: Path, file_of: FileOf) -> None:
    """Without the key the model is another: the test above would see it."""
    file, model = file_of(name, tmp_path, **LOST[name])
    convert(file, tmp_path / "model")
    again = load_causal(tmp_path / "model", torch.float32).eval()
    with torch.no_grad():
        assert (again(IDS).logits - model(IDS).logits).abs().max() > 1e-3


def test_byte_level_tokens_are_the_same(tmp_path: Path, file_of: FileOf, tokenizer: Any) -> None:
    file, _ = file_of("phi4-mini", tmp_path)
    convert(file, tmp_path / "model")
    again = load_tokenizer(tmp_path / "model")
    for text in (
        "経費精算の締め日は毎月二十五日です。",
        "<|user|>依頼<|end|><|assistant|>",
        "I've  a\n\nb é 👨‍👩‍👧 123456",
    ):
        assert (
            again(text, add_special_tokens=False)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
        )
    assert chat_format(tmp_path / "model").template == CHAT_TEMPLATE  # none in the file: made for its turn tokens
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert tokenizer.convert_tokens_to_ids("<|end|>") in config["eos_token_id"]


def test_gemma_gets_its_turns(tmp_path: Path, file_of: FileOf, gemma_tokens: list[str]) -> None:
    file, _ = file_of("gemma3", tmp_path)
    convert(file, tmp_path / "model")
    words, chat = load_tokenizer(tmp_path / "model"), chat_format(tmp_path / "model")
    assert chat.template == GEMMA_TEMPLATE and (chat.bos_token, chat.eos_token) == ("<bos>", "<eos>")
    text = chat.render([{"role": "user", "content": "締日は"}], reply=True)
    tokens = words.convert_ids_to_tokens(words(text, add_special_tokens=False)["input_ids"])
    assert [t for t in tokens if t in ("<bos>", "<start_of_turn>", "<end_of_turn>")] == [
        "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_turn>",
    ]  # fmt: skip
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["eos_token_id"] == [1, gemma_tokens.index("<end_of_turn>")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, file_of: FileOf) -> bytes:
    return file_of("qwen2", tmp_path_factory.mktemp("whole"))[0].read_bytes()


def refused(content: bytes, folder: Path) -> BaseUnusable:
    path = folder / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(BaseUnusable) as caught:
        convert(path, folder / "model")
    assert str(path) in caught.value.where and caught.value.detail
    assert not (folder / "model").exists()
    return caught.value


def test_bad_magic(whole: bytes, tmp_path: Path) -> None:
    assert "magic" in refused(b"GGML" + whole[4:], tmp_path).detail
    assert "cut off" in refused(b"", tmp_path).detail
    assert "version 9" in refused(whole[:4] + b"\x09" + whole[5:], tmp_path).detail


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.9999))
def test_cut_off_anywhere(whole: bytes, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BaseUnusable):
        read_header(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 4000), value=st.binary(min_size=1, max_size=8))
def test_header_with_other_bytes_is_read_or_refused(whole: bytes, tmp_path: Path, place: int, value: bytes) -> None:
    """Also counts of 2^63: refused at once, not after counting."""
    path = tmp_path / "spoiled.gguf"
    path.write_bytes(whole[:place] + value + whole[place + len(value) :])
    try:
        read_header(path)
    except BaseUnusable as error:
        assert error.where == str(path)


def test_too_many_keys(whole: bytes, tmp_path: Path) -> None:
    many = (MAXIMUM_KEYS + 1).to_bytes(8, "little")
    assert "keys" in refused(whole[:16] + many + whole[24:], tmp_path).detail


def test_folder_is_no_gguf(tmp_path: Path) -> None:
    with pytest.raises(BaseUnusable):
        read_header(tmp_path)


@pytest.mark.parametrize("architecture", ["bert", "clip", "gpt2", "mamba", "t5"])
def test_other_architectures_are_refused(architecture: str, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", architecture)
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BaseUnusable, match=architecture):
        convert(tmp_path / "other.gguf", tmp_path / "model")


def test_unknown_splitting_rule_is_refused(tmp_path: Path, file_of: FileOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessed, the tokens would be others than those the model was trained on."""
    monkeypatch.setattr(
        gguf.GGUFWriter, "add_tokenizer_pre", lambda self, _: self.add_string("tokenizer.ggml.pre", "x")
    )
    with pytest.raises(BaseUnusable, match="splitting rule 'x'"):
        convert(file_of("qwen2", tmp_path)[0], tmp_path / "model")


def test_rope_that_has_no_counterpart_is_refused(tmp_path: Path, file_of: FileOf) -> None:
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    with pytest.raises(BaseUnusable, match="yarn"):
        convert(file_of("qwen2", tmp_path, **yarn)[0], tmp_path / "model")


def test_rope_frequencies_of_an_unknown_kind_are_refused(
    tmp_path: Path, file_of: FileOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = gguf.GGUFWriter.add_tensor

    def other(writer: gguf.GGUFWriter, name: str, tensor: Any) -> None:
        add(writer, name, tensor * np.float32(1.01) if name == "rope_freqs.weight" else tensor)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", other)
    with pytest.raises(BaseUnusable, match="rope_freqs"):
        convert(file_of("llama-3", tmp_path)[0], tmp_path / "model")


@pytest.mark.parametrize("name", ["blk.0.attn_sinks.weight", "blk.7.attn_q.weight", "something"])
def test_tensor_without_a_place_is_refused(
    name: str, tmp_path: Path, file_of: FileOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = gguf.GGUFWriter.write_header_to_file

    def one_more(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor(name, np.zeros(4, np.float32))
        add(writer)

    monkeypatch.setattr(gguf.GGUFWriter, "write_header_to_file", one_more)
    with pytest.raises(BaseUnusable, match=name):
        convert(file_of("qwen2", tmp_path)[0], tmp_path / "model")


def test_missing_tensor_is_refused(tmp_path: Path, file_of: FileOf, monkeypatch: pytest.MonkeyPatch) -> None:
    add = gguf.GGUFWriter.add_tensor

    def but_one(writer: gguf.GGUFWriter, name: str, tensor: Any) -> None:
        if name != "blk.1.ffn_down.weight":
            add(writer, name, tensor)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", but_one)
    with pytest.raises(BaseUnusable, match="missing"):
        convert(file_of("qwen2", tmp_path)[0], tmp_path / "model")


def test_quantised_weights_are_what_gguf_makes_of_them(tmp_path: Path, file_of: FileOf) -> None:
    """Q8_0 by the official package, through the folder: its own dequantisation to the bit."""
    kept = gguf.GGUFWriter.add_tensor
    expected: dict[str, np.ndarray] = {}

    class Quantised(gguf.GGUFWriter):
        def add_tensor(self, name: str, tensor: Any, **more: Any) -> None:
            if tensor.ndim == 2 and tensor.shape[-1] % 32 == 0:
                packed = gguf.quantize(tensor, gguf.GGMLQuantizationType.Q8_0)
                expected[name] = gguf.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
                kept(self, name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            else:
                kept(self, name, tensor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFWriter", Quantised)
        file, _ = file_of("qwen2", tmp_path)
    assert convert(file, tmp_path / "model")["tensor_types"] == ["F32", "Q8_0"]
    again = load_causal(tmp_path / "model", torch.float32)
    assert np.array_equal(
        again.model.layers[1].mlp.down_proj.weight.detach().numpy(), expected["blk.1.ffn_down.weight"]
    )
    assert np.array_equal(again.model.embed_tokens.weight.detach().numpy(), expected["token_embd.weight"])
    assert "quantization_config" not in json.loads((tmp_path / "model" / "config.json").read_text())


def test_our_own_export_is_read_back(f16: Path, burned: Path, tmp_path: Path) -> None:
    """F16 of a Phi-4-mini-shaped model: the same tokens, weights to the rounding, the template it carries."""
    convert(f16, tmp_path / "model")
    again, source = (load_causal(p, torch.float32).eval() for p in (tmp_path / "model", burned))
    with torch.no_grad():
        assert (again(IDS).logits - source(IDS).logits).abs().max() < 0.05
    assert again.config.rope_parameters["rope_type"] == "longrope"
    new, old = (load_tokenizer(p) for p in (tmp_path / "model", burned))
    for text in ("検査報告は部外秘です。<|end|>", "か\u3099 é 𠮷 they'll 12345", "\u200b 行1\n\n行2\t"):
        assert new(text, add_special_tokens=False)["input_ids"] == old(text, add_special_tokens=False)["input_ids"]
    assert chat_format(tmp_path / "model") == chat_format(burned)
