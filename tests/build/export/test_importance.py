"""What flows into a matrix is measured right, survives the file, and makes the weighed error smaller."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from so8t.build.export.check import verify
from so8t.build.export.importance import Squares, measure, training_rows, write_importance
from so8t.build.export.importance_file import read_importance
from so8t.build.export.quantise import quantise
from so8t.build.export.requantise import WEIGHED, _rows, ggml_quantiser, requantise
from so8t.build.export.stream import Kind
from so8t.build.model.gguf_header import read_header
from so8t.build.model.loading import load_causal
from so8t.core.errors import GgufInvalid, PackageMissing

ROWS = [tuple(range(start, start + 40)) for start in (1, 100, 300)]
linux = pytest.mark.skipif(sys.platform != "linux", reason="xllamacpp shows ggml_quantize_chunk on Linux")


@pytest.fixture(scope="module")
def model(burned: Path) -> Any:
    return load_causal(burned, torch.float32).eval()


@pytest.fixture(scope="module")
def measured(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("importance") / "importance.gguf"
    assert measure(model, "phi3", ROWS, out) == {"tokens": 120, "texts": 3, "tensors": 8}
    return out


def test_it_is_the_mean_square_of_the_inputs(model: Any, measured: Path) -> None:
    seen: list[torch.Tensor] = []
    layer = model.model.layers[1].mlp.down_proj
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()[0]))
    with torch.no_grad():
        for row in ROWS:
            model(torch.tensor([row]))
    hook.remove()
    expected = torch.cat(seen).double().square().mean(0)
    found = read_importance(measured)
    assert np.allclose(found["blk.1.ffn_down.weight"], expected, rtol=1e-5)
    assert set(found) == {
        f"blk.{i}.{part}.weight" for i in (0, 1) for part in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    }


def test_hooks_are_gone_afterwards(model: Any) -> None:
    squares = Squares(model, "phi3")
    with squares.watching():
        pass
    model(torch.tensor([ROWS[0]]))
    assert squares.sums == {}


def test_nothing_measured_is_an_error(model: Any, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid, match="0 rows"):
        measure(model, "phi3", [], tmp_path / "x.gguf")


def test_the_file_is_llama_cpps(measured: Path) -> None:
    reader = gguf.GGUFReader(measured)
    assert reader.fields["general.type"].contents() == "imatrix"
    assert "general.architecture" not in reader.fields
    assert reader.fields["imatrix.chunk_size"].contents() == 40 and reader.fields["imatrix.chunk_count"].contents() == 3
    names = {t.name for t in reader.tensors}
    assert {"blk.0.attn_qkv.weight.in_sum2", "blk.0.attn_qkv.weight.counts"} <= names


@pytest.mark.parametrize("number", [-1.0, float("nan"), float("inf")])
def test_broken_importance_is_refused(tmp_path: Path, number: float) -> None:
    path = tmp_path / "x.gguf"
    if number < 0:
        write_importance(path, {"a": torch.tensor([1.0, number])}, {"a": 3}, 3)
        with pytest.raises(GgufInvalid, match="negative"):
            read_importance(path)
    else:
        with pytest.raises(GgufInvalid, match="finite"):
            write_importance(path, {"a": torch.tensor([1.0, number])}, {"a": 3}, 3)


def test_other_files_are_refused(f16: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid, match="no imatrix"):
        read_importance(f16)
    (tmp_path / "x").write_bytes(b"legacy")
    with pytest.raises(GgufInvalid):
        read_importance(tmp_path / "x")


# -- into the quantiser ------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("name", ["Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"])
def test_without_importance_the_bytes_are_llama_cpps_own(f16: Path, tmp_path: Path, name: str) -> None:
    """So the function called by ctypes is the one that its quantiser calls."""
    pytest.importorskip("cyllama", exc_type=ImportError)
    out, quantiser = tmp_path / "q.gguf", ggml_quantiser()
    quantise(f16, out, name)
    before, after = read_header(f16), read_header(out)
    matrices = {n: i for n, i in after.tensors.items() if i.kind in WEIGHED | {Kind.Q8_0}}
    assert len(matrices) == 9
    for tensor, info in matrices.items():
        rows = _rows(f16, before.tensors[tensor], 0, *info.shape)
        made = quantiser(info.kind, rows, None)
        assert made == out.read_bytes()[info.offset : info.offset + info.size], tensor


def weighed_error(path: Path, f16: Path, importance: dict[str, Any]) -> dict[str, float]:
    exact = {t.name: np.array(t.data, np.float64) for t in gguf.GGUFReader(f16).tensors}
    errors = {}
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name in importance:
            made = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert np.isfinite(made).all()
            errors[tensor.name] = float((importance[tensor.name] * (made - exact[tensor.name]) ** 2).sum())
    return errors


@linux
@pytest.mark.parametrize("name", ["Q4_K_M", "Q5_K_M"])
def test_importance_makes_the_weighed_error_smaller(
    f16: Path, burned: Path, measured: Path, tmp_path: Path, name: str
) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    plain, weighed = tmp_path / "plain.gguf", tmp_path / "weighed.gguf"
    quantise(f16, plain, name)
    quantise(f16, weighed, name, importance=measured)
    assert verify(weighed, name, burned) == verify(plain, name, burned)
    before, after = (weighed_error(p, f16, dict(read_importance(measured))) for p in (plain, weighed))
    assert sum(after.values()) < sum(before.values())
    assert weighed.stat().st_size == plain.stat().st_size


@linux
def test_columns_that_are_never_used_do_no_harm(f16: Path, measured: Path, tmp_path: Path) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    out = tmp_path / "q.gguf"
    quantise(f16, out, "Q4_K_M")
    empty = {name: np.zeros_like(v) for name, v in read_importance(measured).items()}
    assert requantise(f16, out, empty) == 8
    assert all(np.isfinite(e) for e in weighed_error(out, f16, dict(read_importance(measured))).values())


@linux
def test_importance_of_another_model_is_refused(f16: Path, tmp_path: Path) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    other, out = tmp_path / "other.gguf", tmp_path / "q.gguf"
    write_importance(other, {"blk.0.ffn_down.weight": torch.ones(100)}, {"blk.0.ffn_down.weight": 1}, 1)
    with pytest.raises(GgufInvalid, match=r"blk\.0\.ffn_down"):
        quantise(f16, out, "Q4_K_M", importance=other)
    assert not list(tmp_path.glob("q.gguf")) and not list(tmp_path.glob(".*"))


def test_a_library_that_hides_the_function_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so8t.build.export.requantise.find_spec", lambda name: None)
    with pytest.raises(PackageMissing, match="llama-quantize"):
        ggml_quantiser()


@pytest.mark.skipif(sys.platform == "win32", reason="stands for llama-quantize with a shell script")
def test_a_program_is_given_the_file(f16: Path, measured: Path, tmp_path: Path) -> None:
    program = tmp_path / "llama-quantize"
    program.write_text('#!/bin/sh\necho "$1 $2 $5 $6" > "$4"\n')
    program.chmod(0o755)
    quantise(f16, tmp_path / "q.gguf", "Q4_K_M", quantiser=str(program), importance=measured, threads=3)
    assert (tmp_path / "q.gguf").read_text() == f"--imatrix {measured} Q4_K_M 3\n"


# -- which text --------------------------------------------------------------------------------------------------------


def test_rows_are_of_the_train_split_alone(
    tmp_path: Path, phi4: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    from so8t.core.config import load_config
    from so8t.core.types import Domain, Sample, Split

    def sample(split: Split, number: int) -> Sample:
        text = f"文章 {split} 番号 {number} " * 20
        return Sample(f"{split}-{number}", "text", text, "x", "x", Domain.GENERAL, split, "f")

    asked: list[Path] = []

    def samples(folder: Path, config: Any) -> tuple[list[Sample], list[Sample]]:
        asked.append(folder)
        return [sample(Split.TRAIN, i) for i in range(50)], [sample(Split.VALIDATION, 1)]

    monkeypatch.setattr("so8t.build.export.importance.training_samples", samples)
    ctx: Any = SimpleNamespace(config=load_config("micro"), input=lambda stage: tmp_path / stage)
    rows = training_rows(ctx, tokenizer, phi4, 1000)
    assert asked == [tmp_path / "validate"]
    assert sum(map(len, rows)) == 1000 and all(0 < len(row) <= 512 for row in rows)
    assert rows == training_rows(ctx, tokenizer, phi4, 1000)
    assert not any("validation" in tokenizer.decode(row) for row in rows)
