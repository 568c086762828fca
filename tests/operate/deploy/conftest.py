"""The stand-in for Ollama under the name ollama_stand_in, and a bundle small enough to be made for each test."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from so8t.core import signing
from so8t.core.bundle import LISTING, SIGNATURE, payload_digest
from so8t.core.files import hash_folder
from so8t.core.packaged import packaged
from so8t.decide.policy import parse_policy

_spec = importlib.util.spec_from_file_location("ollama_stand_in", Path(__file__).parents[1] / "ollama_stand_in.py")
assert _spec and _spec.loader
_module = importlib.util.module_from_spec(_spec)
sys.modules["ollama_stand_in"] = _module
_spec.loader.exec_module(_module)

JINJA = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
GO = (
    '{{ range .Messages }}{{ if eq .Role "system" }}<|system|>{{ .Content }}<|end|>{{ else if eq .Role "user" }}'
    "<|user|>{{ .Content }}<|end|>{{ else }}<|assistant|>{{ .Content }}<|end|>{{ end }}{{ end }}<|assistant|>"
)
FILE_TYPES = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15}
CONTEXT = 1024


def modelfile(quantisation: str) -> str:
    return (
        f"FROM ./gguf/model-{quantisation}.gguf\nPARAMETER temperature 0.7\nPARAMETER num_ctx {CONTEXT}\n"
        f'PARAMETER stop "<|end|>"\nPARAMETER stop "<|user|>"\nTEMPLATE """{GO}"""\n'
    )


def write_gguf(path: Path, file_type: int) -> None:
    """A header as our exports have it, and one tensor; `file_type` makes the files differ."""
    writer = gguf.GGUFWriter(path, "phi3")
    writer.add_file_type(file_type)
    writer.add_chat_template(JINJA)
    writer.add_tensor("token_embd.weight", np.full((4, 256), file_type, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_payload(folder: Path) -> None:
    """Everything of a bundle's payload that a deployment reads, but for the GGUFs and the tokenizer."""
    prompt = {
        "template": JINJA, "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "special": [],
        "style": "compact", "deploy": "Q8_0", "context": CONTEXT,
    }  # fmt: skip
    (folder / "prompt.json").write_text(json.dumps(prompt), encoding="utf-8")
    policy = packaged("policies", "demo.toml").read_bytes()
    (folder / "policy.toml").write_bytes(policy)
    for quantisation in FILE_TYPES:
        (folder / f"Modelfile.{quantisation}").write_text(modelfile(quantisation), encoding="utf-8")


def seal(folder: Path, key: Path, *, proven: bool = True) -> Path:
    """Card, list and signature; the public key to trust."""
    for name in (LISTING, SIGNATURE, "card.json"):
        (folder / name).unlink(missing_ok=True)
    policy = parse_policy((folder / "policy.toml").read_text(encoding="utf-8"), "policy.toml")
    card = {
        "payload_digest": payload_digest(hash_folder(folder)), "profile": "micro",
        "policy": {"id": "demo", "digest": policy.digest}, "thresholds": {"passed": proven},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    files = hash_folder(folder)
    listing = {"files": files, "payload_digest": payload_digest(files), "policy_digest": policy.digest}
    raw = json.dumps(listing).encode()
    (folder / LISTING).write_bytes(raw)
    (folder / SIGNATURE).write_text(signing.sign(signing.load_or_create(key), raw))
    return signing.public_path(key)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A proven bundle of three small files; its public key is where the commands look for it by default."""
    folder = tmp_path / "runs" / "small" / "bundle"
    (folder / "gguf").mkdir(parents=True)
    for quantisation, number in FILE_TYPES.items():
        write_gguf(folder / "gguf" / f"model-{quantisation}.gguf", number)
    words = ["ALLOW", "ESC", "AL", "LO", "W", "DE", "NY", "ALLO", "DENY", "ES", *"ACDELNOSTWY"]
    merges = [["A", "L"], ["L", "O"], ["AL", "LO"], ["ALLO", "W"], ["E", "S"], ["ES", "C"], ["D", "E"], ["N", "Y"]]
    model = {"type": "BPE", "vocab": {w: i for i, w in enumerate(words)}, "merges": [*merges, ["DE", "NY"]]}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model, "normalizer": None}), encoding="utf-8")
    write_payload(folder)
    (tmp_path / "runs" / "keys").mkdir()
    seal(folder, tmp_path / "runs" / "keys" / "bundle.key")
    return folder


@pytest.fixture
def reseal(tmp_path: Path) -> Callable[..., Path]:
    """List and sign a changed bundle anew, with the key that the commands trust."""
    return lambda folder, **options: seal(folder, tmp_path / "runs" / "keys" / "bundle.key", **options)


@pytest.fixture(scope="session")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proven bundle whose F16 is a model that llama.cpp runs. Its weights are random, but it favours the labels."""
    import torch
    from transformers import Phi3ForCausalLM

    from so8t.build.export.phi3 import export_f16
    from so8t.build.model.base import tiny_config
    from so8t.build.model.tokenizer import train_tokenizer
    from so8t.core.config import BaseConfig

    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("real") / "runs"
    folder = runs / "real" / "bundle"
    (folder / "gguf").mkdir(parents=True)
    tokenizer = train_tokenizer(["ALLOW ESCALATE DENY 会議の議事録を三行に。権限:社内限定 区分:不明"] * 3, 330)
    shape = BaseConfig(vocab_size=330, hidden_size=64, intermediate_size=96, layers=2, heads=4, kv_heads=2, context=512)
    config = tiny_config(shape, tokenizer)
    config.initializer_range, config.tie_word_embeddings = 0.1, False
    torch.manual_seed(1)
    model = Phi3ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 3.0  # a direction that every position has
        for label in ("ALLOW", "ESCALATE", "DENY"):
            model.lm_head.weight[tokenizer.encode(label)[0], 0] = 1.5
    whole = tmp_path_factory.mktemp("weights")
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    export_f16(whole, folder / "gguf" / "model-F16.gguf", "tiny")
    (folder / "tokenizer.json").write_bytes((whole / "tokenizer.json").read_bytes())
    write_payload(folder)
    for quantisation in ("Q8_0", "Q4_K_M"):
        (folder / f"Modelfile.{quantisation}").unlink()
    modelfile_f16 = folder / "Modelfile.F16"
    modelfile_f16.write_text(modelfile_f16.read_text().replace(str(CONTEXT), "512"), encoding="utf-8")
    prompt = json.loads((folder / "prompt.json").read_text())
    prompt |= {"deploy": "F16", "context": 512, "template": tokenizer.chat_template}
    (folder / "prompt.json").write_text(json.dumps(prompt), encoding="utf-8")
    (runs / "keys").mkdir()
    seal(folder, runs / "keys" / "bundle.key")
    return folder


@pytest.fixture
def stand_in(tmp_path: Path) -> Any:
    """Not running yet, so that a test may throw its switches."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    return _module.StandIn(folder)


@pytest.fixture
def run_ollama() -> Iterator[Callable[[Any], str]]:
    """Serve a stand-in until the end of the test; its address."""
    import contextlib

    with contextlib.ExitStack() as stack:
        yield lambda made: stack.enter_context(_module.running(made))
