"""GGUFs from anywhere, held to what they should be: broken ones are said, never crash; incomplete ones are seen."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.export.check import TYPES, open_header, verify
from so8t.build.export.quantise import FILE_TYPES
from so8t.build.export.tensor_layout import layout, overhead
from so8t.build.model.gguf_header import read_header
from so8t.core.config import ExportConfig
from so8t.core.errors import GgufInvalid

HEADER = 4096  # bytes at the beginning that hold the keys' first part


def test_whole_file_verifies(f16: Path, burned: Path) -> None:
    assert verify(f16, "F16", burned) == {"F16": 9, "F32": 7}
    assert verify(f16, "F16") == {"F16": 9, "F32": 7}  # also without the checkpoint


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.02, 0.1, 0.3, 0.5, 0.9, 0.999999])
def test_truncated_file_fails(f16: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.gguf"
    content = f16.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GgufInvalid) as caught:
        verify(cut, "F16")
    assert caught.value.where == str(cut)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" + b"\0" * 400, b"GGUF" + b"\xff" * 400, b"GGUF\x03\0\0\0" + b"\xff" * 400]
)
def test_no_gguf_at_all_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufInvalid):
        verify(path, "F16")


def test_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid):
        verify(tmp_path / "none.gguf", "F16")


def patched(f16: Path, out: Path, position: int, content: bytes) -> Path:
    shutil.copyfile(f16, out)
    with out.open("rb+") as file:
        file.seek(position)
        file.write(content)
    return out


@pytest.mark.parametrize(
    ("position", "content", "words"),
    [
        (0, b"FUGG", "magic"),
        (4, struct.pack("<I", 1), "version 1"),
        (4, struct.pack("<I", 0x03000000), "version"),  # the other byte order
        (8, struct.pack("<Q", 1 << 60), "tensors"),
        (16, struct.pack("<Q", 1 << 60), "keys"),
        (24, struct.pack("<Q", 1 << 60), "string"),
    ],
)
def test_broken_header_is_named(f16: Path, tmp_path: Path, position: int, content: bytes, words: str) -> None:
    with pytest.raises(GgufInvalid, match=words):
        verify(patched(f16, tmp_path / "x.gguf", position, content), "F16")


@given(st.data())
def test_no_changed_byte_crashes_the_check(f16: Path, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Up to four bytes anywhere before the tensors: a verdict or GgufInvalid, and nothing else."""
    content = bytearray(f16.read_bytes())
    end = min(info.offset for info in read_header(f16).tensors.values())
    beginning, tail = st.integers(0, HEADER), st.integers(end - 1400, end - 1)  # keys; infos of the tensors
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.one_of(beginning, tail, st.integers(0, end - 1)))
        content[position] = data.draw(st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255)))
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(content)
    try:
        verify(path, "F16")
    except GgufInvalid as error:
        assert error.where


Rewrite = Callable[..., Path]


@pytest.fixture
def rewrite(f16: Path, tmp_path: Path) -> Rewrite:
    """The file written anew with keys set or left out (None), and its tensors changed."""

    def rewrite(keys: dict[str, Any] | None = None, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
        reader, keys = gguf.GGUFReader(f16), keys or {}
        writer = gguf.GGUFWriter(tmp_path / "new.gguf", "phi3")
        for name, field in reader.fields.items():
            if name.startswith("GGUF.") or name == "general.architecture" or name in keys:
                continue
            kind = field.types[0]
            writer.add_key_value(name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
        for name, value in keys.items():
            if value is not None:
                kind = gguf.GGUFValueType.get_type(value) if not isinstance(value, int) else gguf.GGUFValueType.UINT32
                writer.add_key_value(name, value, kind)
        found = {t.name: np.array(t.data) for t in reader.tensors}
        if change:
            change(found)
        for name, array in found.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "new.gguf"

    return rewrite


def test_the_fixture_changes_nothing_by_itself(rewrite: Rewrite, burned: Path) -> None:
    assert verify(rewrite(), "F16", burned) == {"F16": 9, "F32": 7}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("phi3.block_count", None, "block_count = None"),
        ("phi3.block_count", 0, "block_count = 0"),
        ("phi3.block_count", 3, r"missing blk\.2"),
        ("phi3.block_count", (1 << 32) - 1, r"missing blk\.2"),
        ("phi3.block_count", 1, r"blk\.1: 1 blocks expected"),
        ("phi3.embedding_length", 128, "expected"),
        ("phi3.attention.head_count", "4", "head_count"),
        ("tokenizer.chat_template", None, "missing tokenizer.chat_template"),
        ("tokenizer.ggml.tokens", None, "missing tokenizer.ggml.tokens"),
        ("tokenizer.ggml.merges", None, "missing tokenizer.ggml.merges"),
        ("tokenizer.ggml.eos_token_id", None, "missing tokenizer.ggml.eos_token_id"),
        ("tokenizer.ggml.eos_token_id", 1024, "1024 tokens"),
        ("general.alignment", 64, "unaligned|cut off"),
        ("general.alignment", 7, "alignment 7"),
    ],
)
def test_metadata_is_complete(rewrite: Rewrite, key: str, value: Any, words: str) -> None:
    with pytest.raises(GgufInvalid, match=words):
        verify(rewrite({key: value}), "F16")


DOWN = "blk.1.ffn_down.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(DOWN), "missing blk.1.ffn_down"),
        (lambda t: t.pop("output_norm.weight"), "missing output_norm"),
        (lambda t: t.pop("token_embd.weight"), "missing token_embd"),
        (lambda t: t.update({DOWN: t[DOWN][:, :-8].copy()}), "shape"),
        (lambda t: t.update({DOWN: t[DOWN].astype(np.float32)}), "ffn_down.weight is F32"),
        (lambda t: t.update({"output_norm.weight": t["output_norm.weight"].astype(np.float16)}), "output_norm.*is F16"),
        (lambda t: t.update({"token_embd.weight": t["token_embd.weight"][:-1].copy()}), "token_embd"),
    ],
)
def test_tensors_are_complete_in_themselves(rewrite: Rewrite, change: Any, words: str) -> None:
    with pytest.raises(GgufInvalid, match=words):
        verify(rewrite(change=change), "F16")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: [t.pop(f"blk.{i}.attn_norm.weight") for i in (0, 1)], "missing blk.0.attn_norm"),
        (lambda t: t.update({f"blk.{i}.gate.weight": np.zeros(4, np.float32) for i in (0, 1)}), "surplus blk.0.gate"),
        (lambda t: t.update({n: t[n][:-8].copy() for n in list(t) if "ffn_up" in n}), "ffn_up.*expected"),
    ],
)
def test_the_checkpoint_says_what_the_file_alone_cannot(
    rewrite: Rewrite, burned: Path, change: Any, words: str
) -> None:
    path = rewrite(change=change)
    verify(path, "F16")
    with pytest.raises(GgufInvalid, match=words):
        verify(path, "F16", burned)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", [DOWN, "output_norm.weight"])
def test_numbers_are_numbers(rewrite: Rewrite, name: str, number: float) -> None:
    def change(found: dict[str, Any]) -> None:
        found[name].flat[-1] = number

    with pytest.raises(GgufInvalid, match=f"{name}: a number that is infinite or none"):
        verify(rewrite(change=change), "F16")


def test_two_tensors_of_one_name_or_place_are_refused(f16: Path, tmp_path: Path) -> None:
    content = f16.read_bytes()
    twice = content.replace(b"blk.1.ffn_down.weight", b"blk.0.ffn_down.weight")
    (tmp_path / "x.gguf").write_bytes(twice)
    with pytest.raises(GgufInvalid, match="two tensors of one name"):
        verify(tmp_path / "x.gguf", "F16")
    name = struct.pack("<Q", len(DOWN)) + DOWN.encode()
    place = content.index(name) + len(name) + 4 + 2 * 8 + 4  # dimensions, type; then the offset
    for offset in (0, 32, 1):
        (tmp_path / "x.gguf").write_bytes(content[:place] + struct.pack("<Q", offset) + content[place + 8 :])
        with pytest.raises(GgufInvalid, match="lies in another tensor or is unaligned"):
            open_header(tmp_path / "x.gguf")


def test_the_configuration_offers_what_can_be_made_and_checked() -> None:
    offered = get_args(get_args(get_type_hints(ExportConfig)["quantisations"])[0])
    assert set(offered) == set(TYPES) == {"F16", "BF16", *FILE_TYPES}


def test_unknown_quantisation_and_architecture_are_said(f16: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid, match="Q3_K"):
        verify(f16, "Q3_K")
    (tmp_path / "x.gguf").write_bytes(f16.read_bytes().replace(b"phi3", b"phi9"))
    with pytest.raises(GgufInvalid, match="phi9"):
        verify(tmp_path / "x.gguf", "F16")


# -- zero overhead ---------------------------------------------------------------------------------------------------


def test_folded_model_has_the_tensors_of_its_base(burned: Path, phi4: Path) -> None:
    assert overhead(phi4, burned, "phi3") == {"tensors": 16, "identical": True, "different": []}


def test_the_layout_is_the_files(burned: Path, f16: Path) -> None:
    found = {name: (info.shape, info.kind) for name, info in read_header(f16).tensors.items()}
    assert layout(burned, "phi3") == found


def test_anything_more_is_overhead(burned: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(burned, tmp_path / "m")
    found = load_file(burned / "model.safetensors")
    found["model.layers.0.self_attn.o_proj.bias"] = torch.zeros(256)
    found["model.layers.1.mlp.down_proj.weight"] = torch.zeros(256, 1024)
    save_file(found, tmp_path / "m" / "model.safetensors")
    other = overhead(burned, tmp_path / "m", "phi3")
    assert other["tensors"] == 17 and not other["identical"]
    assert other["different"] == ["blk.0.attn_output.bias", "blk.1.ffn_down.weight"]
