"""A key more, and nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.build.export.check import verify
from so8t.build.export.header_key import add_uint32
from so8t.build.model.gguf_header import read_header
from so8t.core.errors import GgufInvalid


@pytest.mark.parametrize("key", ["a", "so8t.x", "tokenizer.ggml.eom_token_id", "k" * 31, "k" * 32, "k" * 200])
def test_key_is_added_and_tensors_stay(f16: Path, burned: Path, tmp_path: Path, key: str) -> None:
    out = tmp_path / "out.gguf"
    add_uint32(f16, out, key, 7)
    before, after = read_header(f16), read_header(out)
    assert after.values == {**before.values, key: 7} and after.lengths == before.lengths
    assert list(after.tensors) == list(before.tensors)
    for name, info in after.tensors.items():
        old = before.tensors[name]
        assert (info.shape, info.kind) == (old.shape, old.kind)
        assert out.read_bytes()[info.offset :][: info.size] == f16.read_bytes()[old.offset :][: old.size]
    assert verify(out, "F16", burned) == verify(f16, "F16", burned)


def test_a_key_that_is_there_and_a_broken_file_are_refused(f16: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    with pytest.raises(GgufInvalid, match="there already"):
        add_uint32(f16, out, "phi3.block_count", 7)
    (tmp_path / "cut.gguf").write_bytes(f16.read_bytes()[:5000])
    with pytest.raises(GgufInvalid):
        add_uint32(tmp_path / "cut.gguf", out, "x", 7)
    assert not out.exists()
