"""The exporter, on a tiny model with Phi-4-mini's configuration and tokenizer: read back, refused, cut."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from so8t.build.export.check import verify
from so8t.build.export.phi3 import Shape, export_f16, tensors
from so8t.core.errors import GgufInvalid

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "self_attn.qkv_proj.weight": "attn_qkv.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
}


def gguf_name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}"


def value(reader: gguf.GGUFReader, key: str) -> Any:
    return reader.fields[key].contents()


def test_metadata_is_the_models(f16: Path, burned: Path) -> None:
    reader = gguf.GGUFReader(f16)
    expected = {
        "general.architecture": "phi3", "phi3.context_length": 4096, "phi3.rope.scaling.original_context_length": 1024,
        "phi3.embedding_length": 256, "phi3.feed_forward_length": 512, "phi3.block_count": 2,
        "phi3.attention.head_count": 4, "phi3.attention.head_count_kv": 2, "phi3.rope.dimension_count": 48,
        "phi3.rope.freq_base": 10000.0, "phi3.attention.sliding_window": 262144, "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-4o", "tokenizer.ggml.add_bos_token": False, "general.file_type": 1,
    }  # fmt: skip
    assert {k: value(reader, k) for k in expected} == expected
    assert value(reader, "phi3.attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    factor = math.sqrt(1 + math.log(4096 / 1024) / math.log(1024))
    assert value(reader, "phi3.rope.scaling.attn_factor") == pytest.approx(factor)
    assert "phi" not in value(reader, "general.name").lower().replace("phi tiny", "") and "3" not in value(
        reader, "general.name"
    )
    template = json.loads((burned / "tokenizer_config.json").read_text()).get("chat_template")
    template = template or (burned / "chat_template.jinja").read_text()
    assert value(reader, "tokenizer.chat_template") == template


def test_tokens_are_numbered_and_typed(f16: Path, burned: Path) -> None:
    reader = gguf.GGUFReader(f16)
    tokens, types = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    source = json.loads((burned / "tokenizer.json").read_text())
    assert len(tokens) == len(types) == len(set(tokens)) == 1024
    for token, number in source["model"]["vocab"].items():
        assert tokens[number] == token
    special = {t["content"]: t["id"] for t in source["added_tokens"]}
    assert all(tokens[i] == t and types[i] == gguf.TokenType.CONTROL for t, i in special.items())
    used = set(source["model"]["vocab"].values()) | set(special.values())
    assert all(types[i] == gguf.TokenType.UNUSED for i in range(1024) if i not in used)
    assert value(reader, "tokenizer.ggml.eos_token_id") == special["<|endoftext|>"]
    assert value(reader, "tokenizer.ggml.eot_token_id") == special["<|end|>"]
    assert value(reader, "tokenizer.ggml.padding_token_id") == special["<|endoftext|>"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    assert value(reader, "tokenizer.ggml.merges") == merges


def test_tensors_are_equal_within_f16(f16: Path, burned: Path, phi4: Path) -> None:
    reader = gguf.GGUFReader(f16)
    found = {t.name: t for t in reader.tensors}
    source = dict(tensors(burned))
    assert "lm_head.weight" not in source  # tied
    for name, tensor in source.items():
        target = found.pop(gguf_name(name))
        array = np.array(target.data)
        if tensor.ndim == 1:
            assert array.dtype == np.float32
            assert np.array_equal(array, tensor.numpy())
        else:
            assert target.tensor_type == gguf.GGMLQuantizationType.F16
            assert np.array_equal(array, tensor.numpy().astype(np.float16))
            assert np.allclose(array, tensor.numpy(), rtol=2**-10, atol=1e-7)
    rope = json.loads((phi4 / "config.json").read_text())["rope_scaling"]
    assert np.allclose(found.pop("rope_factors_long.weight").data, rope["long_factor"])
    assert np.allclose(found.pop("rope_factors_short.weight").data, rope["short_factor"])
    assert found == {}


def test_both_spellings_of_the_configuration_give_the_same_file(phi4: Path, f16: Path, tmp_path: Path) -> None:
    """As downloaded (rope_scaling, bf16) and as transformers 5 saves it (rope_parameters, fp32)."""
    out = tmp_path / "direct.gguf"
    export_f16(phi4, out, "so8t Phi-3 tiny")
    assert out.read_bytes() == f16.read_bytes()


def test_phi4_minis_own_numbers_are_read() -> None:
    config = {
        "architectures": ["Phi3ForCausalLM"], "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
        "num_attention_heads": 24, "num_key_value_heads": 8, "vocab_size": 200064, "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "sliding_window": 262144, "rope_scaling": {"type": "longrope", "long_factor": [1.0] * 48},
    }  # fmt: skip
    shape = Shape.read(config, Path("phi"))
    assert (shape.rotary, shape.context, shape.original_context, shape.kv_heads) == (96, 131072, 4096, 8)
    assert len(shape.rope["long_factor"]) == shape.rotary // 2


def test_untied_head_and_no_longrope(make_phi3: Any, burned: Path, tmp_path: Path) -> None:
    make_phi3(vocab_size=1024, tie_word_embeddings=False).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (burned / name).exists():
            shutil.copy(burned / name, tmp_path / name)
    out = tmp_path / "m.gguf"
    export_f16(tmp_path, out, "untied")
    reader = gguf.GGUFReader(out)
    found = {t.name: t for t in reader.tensors}
    head = dict(tensors(tmp_path))["lm_head.weight"]
    assert np.array_equal(np.array(found["output.weight"].data), head.numpy().astype(np.float16))
    assert "rope_factors_long.weight" not in found
    assert verify(out, "F16", 2)["F16"] == 10


def copy_with(source: Path, folder: Path, file: str, change: Any) -> Path:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    change(content)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return folder


RULES = {
    "llama-3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*",
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "nearly": r"[^\r\n\p{L}\p{N}]?[\p{Ll}]+|.",
}


@pytest.mark.parametrize("rule", list(RULES))
def test_unknown_pre_tokenizer_is_refused(burned: Path, tmp_path: Path, rule: str) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = RULES[rule]

    folder = copy_with(burned, tmp_path / "m", "tokenizer.json", change)
    with pytest.raises(GgufInvalid, match="unknown pre-tokenizer") as caught:
        export_f16(folder, tmp_path / "out.gguf", "x")
    assert "tokenizer.json" in caught.value.where
    assert not (tmp_path / "out.gguf").exists()


def test_pre_tokenizer_without_a_rule_is_refused(burned: Path, tmp_path: Path) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer["pre_tokenizer"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }

    with pytest.raises(GgufInvalid, match="pre-tokenizer"):
        export_f16(copy_with(burned, tmp_path / "m", "tokenizer.json", change), tmp_path / "out.gguf", "x")


@pytest.mark.parametrize("architectures", [["LlamaForCausalLM"], [], None])
def test_wrong_architecture_is_refused(burned: Path, tmp_path: Path, architectures: Any) -> None:
    folder = copy_with(burned, tmp_path / "m", "config.json", lambda c: c.update(architectures=architectures))
    with pytest.raises(GgufInvalid, match="Phi3ForCausalLM expected"):
        export_f16(folder, tmp_path / "out.gguf", "x")


def test_factors_of_the_wrong_length_are_refused(burned: Path, tmp_path: Path) -> None:
    def change(config: Any) -> None:
        config["rope_parameters"]["long_factor"] = [1.0] * 5

    with pytest.raises(GgufInvalid, match="long_factor 5"):
        export_f16(copy_with(burned, tmp_path / "m", "config.json", change), tmp_path / "out.gguf", "x")


def test_unknown_tensor_is_refused(burned: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shutil.copytree(burned, tmp_path / "m")
    save_file({"model.layers.0.self_attn.gate.skew": torch.zeros(2)}, tmp_path / "m" / "z.safetensors")
    with pytest.raises(GgufInvalid, match="gate"):
        export_f16(tmp_path / "m", tmp_path / "out.gguf", "x")


def test_whole_file_verifies(f16: Path) -> None:
    assert verify(f16, "F16", 2) == {"F16": 9, "F32": 7}


def test_more_layers_than_there_are_fail(f16: Path) -> None:
    with pytest.raises(GgufInvalid, match=r"blk\.2"):
        verify(f16, "F16", 3)


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.02, 0.1, 0.3, 0.5, 0.9, 0.999999])
def test_truncated_file_fails(f16: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.gguf"
    content = f16.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GgufInvalid) as caught:
        verify(cut, "F16", 2)
    assert caught.value.where == str(cut)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" + b"\0" * 400, b"GGUF" + b"\xff" * 400, b"GGUF\x03\0\0\0" + b"\xff" * 400]
)
def test_no_gguf_at_all_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufInvalid):
        verify(path, "F16", 2)


def test_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid):
        verify(tmp_path / "none.gguf", "F16", 2)
