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
from safetensors.torch import load_file, save_file

from so8t.build.export.check import verify
from so8t.build.export.phi3 import export_f16, export_phi3
from so8t.build.export.phi3_shape import Shape
from so8t.build.export.stream import Kind
from so8t.core.errors import GgufInvalid, SourceMissing

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


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


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
    source = tensors(burned)
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
        "rms_norm_eps": 1e-5, "sliding_window": 262144, "tie_word_embeddings": True,
        "rope_scaling": {"type": "longrope", "long_factor": [1.0] * 48, "short_factor": [1.0] * 48},
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
    head = tensors(tmp_path)["lm_head.weight"]
    assert np.array_equal(np.array(found["output.weight"].data), head.numpy().astype(np.float16))
    assert "rope_factors_long.weight" not in found
    assert verify(out, "F16", tmp_path)["F16"] == 10


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


def changed(burned: Path, folder: Path, change: Any) -> Path:
    """A copy of the model whose tensors went through `change` (a dictionary, changed in place)."""
    shutil.copytree(burned, folder)
    found = tensors(burned)
    change(found)
    save_file(found, folder / "model.safetensors", {"format": "pt"})
    return folder


def fails(folder: Path, out: Path, words: str) -> GgufInvalid:
    """The export says what is wrong and leaves nothing behind."""
    with pytest.raises(GgufInvalid, match=words) as caught:
        export_f16(folder, out, "x")
    assert not list(out.parent.glob("*.gguf*")) and not list(out.parent.glob(".*"))
    assert str(folder) in caught.value.where
    return caught.value


QKV = "model.layers.1.self_attn.qkv_proj.weight"


def test_unknown_tensor_is_refused(burned: Path, tmp_path: Path) -> None:
    folder = changed(burned, tmp_path / "m", lambda t: t.update({"model.layers.0.self_attn.gate.skew": torch.zeros(2)}))
    fails(folder, tmp_path / "out.gguf", r"gate\.skew is unknown")


def test_missing_tensor_is_refused(burned: Path, tmp_path: Path) -> None:
    folder = changed(burned, tmp_path / "m", lambda t: t.pop(QKV))
    fails(folder, tmp_path / "out.gguf", r"layers\.1\.self_attn\.qkv_proj\.weight is missing")


def test_tensor_of_another_shape_is_refused(burned: Path, tmp_path: Path) -> None:
    folder = changed(burned, tmp_path / "m", lambda t: t.update({QKV: t[QKV][:-8].clone()}))
    fails(folder, tmp_path / "out.gguf", "qkv_proj.*expected")


def test_missing_head_of_an_untied_model_is_refused(burned: Path, tmp_path: Path) -> None:
    folder = copy_with(burned, tmp_path / "m", "config.json", lambda c: c.update(tie_word_embeddings=False))
    fails(folder, tmp_path / "out.gguf", r"lm_head\.weight is missing")


def test_copy_of_a_tied_head_is_left_out(burned: Path, tmp_path: Path) -> None:
    folder = changed(
        burned, tmp_path / "m", lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()})
    )
    export_f16(folder, tmp_path / "out.gguf", "x")
    assert "output.weight" not in {t.name for t in gguf.GGUFReader(tmp_path / "out.gguf").tensors}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 70000.0])
def test_number_that_f16_cannot_hold_is_refused(burned: Path, tmp_path: Path, number: float) -> None:
    def change(found: dict[str, torch.Tensor]) -> None:
        found[QKV][3, 5] = number

    folder = changed(burned, tmp_path / "m", change)
    fails(folder, tmp_path / "out.gguf", r"blk\.1\.attn_qkv\.weight: a number that F16 cannot hold")
    if number == 70000.0:
        export_phi3(folder, tmp_path / "out.gguf", "x", Kind.BF16)


def test_bf16_is_the_bits_of_the_checkpoint(phi4: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    export_phi3(phi4, out, "x", Kind.BF16)
    assert verify(out, "BF16", phi4)["BF16"] == 9
    reader, source = gguf.GGUFReader(out), tensors(phi4)
    assert value(reader, "general.file_type") == gguf.LlamaFileType.MOSTLY_BF16
    found = {t.name: t for t in reader.tensors}
    for name, tensor in source.items():
        if tensor.ndim == 2:
            bits = tensor.view(torch.uint8).numpy()
            assert np.array_equal(np.array(found[gguf_name(name)].data), bits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 252}, "hidden_size 252: a multiple of 8"),
        ({"num_key_value_heads": 3}, "3 KV heads"),
        ({"num_hidden_layers": 3}, "layers.2.*missing"),
        ({"num_hidden_layers": 1}, "layers.1.*unknown"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers = '2'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        ({"vocab_size": 1 << 40}, "vocab_size"),
        ({"vocab_size": 512}, "vocabulary 512"),
        ({"vocab_size": 1032}, "embed_tokens.*expected"),
        ({"rms_norm_eps": None}, "config.json"),
        ({"rope_parameters": [1]}, "config.json"),
        ({"max_position_embeddings": True}, "max_position_embeddings"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(
    burned: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    fails(copy_with(burned, tmp_path / "m", "config.json", lambda c: c.update(change)), tmp_path / "out.gguf", words)


def test_configuration_that_is_no_object_is_refused(burned: Path, tmp_path: Path) -> None:
    shutil.copytree(burned, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("[1, 2]")
    fails(tmp_path / "m", tmp_path / "out.gguf", "object expected")


@pytest.mark.parametrize("end", [None, "", "<|no such token|>", "[PAD1020]"])
def test_tokenizer_without_an_end_is_refused(burned: Path, tmp_path: Path, end: Any) -> None:
    folder = copy_with(burned, tmp_path / "m", "tokenizer_config.json", lambda c: c.update(eos_token=end))
    fails(folder, tmp_path / "out.gguf", "nothing would end an answer")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("added_tokens"), "added_tokens"),
        (lambda t: t.pop("model"), "model"),
        (lambda t: t["model"].update(vocab=[1, 2]), "tokenizer"),
        (lambda t: t["model"]["vocab"].update({"x y z": 1024}), "token 1024, vocabulary 1024"),
        (lambda t: t["model"]["vocab"].update({"x y z": -1}), "token -1"),
        (lambda t: t["model"]["vocab"].update({"x y z": 7}), "two tokens of number 7"),
        (lambda t: t["model"]["vocab"].update({"x y z": "7"}), "tokenizer"),
    ],
)
def test_broken_tokenizer_is_refused(burned: Path, tmp_path: Path, change: Any, words: str) -> None:
    fails(copy_with(burned, tmp_path / "m", "tokenizer.json", change), tmp_path / "out.gguf", words)


def test_missing_tokenizer_is_said(burned: Path, tmp_path: Path) -> None:
    shutil.copytree(burned, tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(SourceMissing, match=r"tokenizer\.json"):
        export_f16(tmp_path / "m", tmp_path / "out.gguf", "x")


def test_an_older_file_stays_when_the_export_fails(burned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"before")
    with pytest.raises(GgufInvalid):
        export_f16(changed(burned, tmp_path / "m", lambda t: t[QKV].fill_(1e9)), out, "x")
    assert out.read_bytes() == b"before"
    assert not (tmp_path / ".out.gguf.partial").exists()


def test_memory_does_not_grow_with_the_model(burned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a tensor's size, one piece of it is converted at a time."""
    from so8t.build.export import stream, weights

    sizes: list[int] = []
    packed = stream._packed

    def watch(piece: torch.Tensor, target: stream.Stream) -> memoryview:
        sizes.append(piece.numel())
        return packed(piece, target)

    monkeypatch.setattr(weights.Weights.pieces, "__defaults__", (4096,))
    monkeypatch.setattr(stream, "_packed", watch)
    export_f16(burned, tmp_path / "pieces.gguf", "so8t Phi-3 tiny")
    assert max(sizes) <= 4096 < max(t.numel() for t in tensors(burned).values())
    monkeypatch.undo()
    export_f16(burned, tmp_path / "whole.gguf", "so8t Phi-3 tiny")
    assert (tmp_path / "pieces.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()
