"""Our exporter against llama.cpp's own converter on a Phi-4-mini-like checkpoint: tensors byte by byte, and keys."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest

from so8t.build.export.phi3 import export_phi3
from so8t.build.export.stream import Kind
from so8t.build.model.gguf_header import read_header

# The converter knows a tokenizer by a hash over its tokens, so it must be told what a random one is.
DRIVER = """
import runpy, sys
folder, sys.argv = sys.argv[1], ["convert", *sys.argv[2:]]
sys.path.insert(0, folder)
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"
runpy.run_path(folder + "/convert_hf_to_gguf.py", run_name="__main__")
"""
# Theirs alone: what the converter makes up of folder names. Ours alone: the end of a turn, which Ollama asks for.
APART = {"general.size_label", "general.finetune", "general.basename", "general.name", "tokenizer.ggml.eot_token_id"}
DEFAULT_FALSE = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"}  # of a byte-level tokenizer

pytestmark = pytest.mark.slow


def theirs(converter: Path, model: Path, out: Path, kind: str, folder: Path) -> Path:
    """tokenizer_class as Microsoft's file has it: any other makes the converter ask for a tokenizer.model."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "GPT2Tokenizer"}))
    command = [sys.executable, "-c", DRIVER, str(converter), str(folder), "--outfile", str(out), "--outtype", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def keys(path: Path) -> dict[str, Any]:
    return {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if not k.startswith("GGUF.")}


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16])
@pytest.mark.parametrize("source", ["phi4", "burned"])
def test_the_file_is_the_converters(
    kind: Kind, source: str, converter: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(source)
    ours = tmp_path / "ours.gguf"
    export_phi3(model, ours, "so8t", kind)
    other = theirs(converter, model, tmp_path / "theirs.gguf", kind.name.lower(), tmp_path / "model")
    a, b = read_header(ours), read_header(other)
    assert a.tensors.keys() == b.tensors.keys() and len(a.tensors) == 16
    for name, info in a.tensors.items():
        found = b.tensors[name]
        assert (info.shape, info.kind) == (found.shape, found.kind)
        content = [path.read_bytes()[i.offset : i.offset + i.size] for path, i in ((ours, info), (other, found))]
        assert content[0] == content[1], name
    said, expected = keys(ours), keys(other)
    for key in (said.keys() | expected.keys()) - APART:
        default = False if key in DEFAULT_FALSE else None
        assert said.get(key, default) == expected.get(key, default), key
