"""llama.cpp's quantiser in a child process: right types out, clear errors for what cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from so8t.build.export.check import verify
from so8t.build.export.quantise import FILE_TYPES, quantise
from so8t.core.errors import DiskFull, GgufInvalid, PackageMissing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stands for llama-quantize with a shell script")


@pytest.mark.parametrize(("name", "kind"), [("Q8_0", "Q8_0"), ("Q4_K_M", "Q4_K"), ("Q5_K_M", "Q5_K"), ("Q6_K", "Q6_K")])
def test_types_are_present(f16: Path, tmp_path: Path, name: str, kind: str) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    out = tmp_path / f"model-{name}.gguf"
    quantise(f16, out, name)
    types = verify(out, name)
    assert types[kind] >= 6
    assert "F16" not in types
    assert out.stat().st_size < 0.6 * f16.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == [out.name]  # no half-written file is left
    wrong = "Q8_0" if name == "Q4_K_M" else "Q4_K_M"
    if name == "Q8_0":
        with pytest.raises(GgufInvalid, match="no Q4_K_M tensor"):
            verify(out, wrong)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no gguf at all" * 100])
def test_broken_input_is_said(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    source, out = tmp_path / "broken.gguf", tmp_path / "out.gguf"
    source.write_bytes(content)
    with pytest.raises(GgufInvalid) as caught:
        quantise(source, out, "Q8_0")
    assert caught.value.where == str(source)
    assert not out.exists()


def test_cut_input_is_said(f16: Path, tmp_path: Path) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    source = tmp_path / "cut.gguf"
    source.write_bytes(f16.read_bytes()[: f16.stat().st_size // 2])
    with pytest.raises(GgufInvalid):
        quantise(source, tmp_path / "out.gguf", "Q4_K_M")
    assert not (tmp_path / "out.gguf").exists()


def test_unknown_quantisation_is_refused(f16: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid, match="Q4_K_M"):
        quantise(f16, tmp_path / "out.gguf", "Q5_X")
    assert set(FILE_TYPES) == {"Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"}


def test_missing_program_is_said(f16: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageMissing) as caught:
        quantise(f16, tmp_path / "out.gguf", "Q8_0", quantiser=str(tmp_path / "llama-quantize"))
    assert "llama-quantize" in caught.value.where


def test_missing_package_is_said(f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cyllama").mkdir()
    (tmp_path / "cyllama" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'cyllama'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PackageMissing, match="cyllama"):
        quantise(f16, tmp_path / "out.gguf", "Q8_0")


def program(folder: Path, body: str) -> str:
    path = folder / "llama-quantize"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_own_program_is_called_and_its_last_words_kept(f16: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    quantise(f16, out, "Q8_0", quantiser=program(tmp_path, 'echo "$3 $4" > "$2"'), threads=3)
    assert out.read_text() == "Q8_0 3\n"
    with pytest.raises(GgufInvalid, match="exit 3 tensor too odd"):
        quantise(f16, out, "Q8_0", quantiser=program(tmp_path, "echo tensor too odd >&2; exit 3"))
    with pytest.raises(GgufInvalid):  # says yes, writes nothing
        quantise(f16, tmp_path / "other.gguf", "Q8_0", quantiser=program(tmp_path, "exit 0"))
    with pytest.raises(DiskFull):
        quantise(f16, out, "Q8_0", quantiser=program(tmp_path, "echo write: No space left on device >&2; exit 1"))
    assert out.read_text() == "Q8_0 3\n"  # the file of before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["llama-quantize", "out.gguf"]
