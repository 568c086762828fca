"""The gate: what differs by one token, or does not stop, is seen and named; and all formats pass a real llama.cpp."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.ask.hf import HuggingFace
from so8t.build.export.modelfile import Modelfile, shipped_modelfile, write_modelfile
from so8t.build.export.parity import compare
from so8t.build.export.phi3 import export_f16
from so8t.build.export.template.chat_layout import layout_of
from so8t.build.export.template.conversations import MOST_TURNS, TEXTS, conversations
from so8t.build.export.template.gate import TurnsFound, check_turns
from so8t.build.export.template.server import ChatServer
from so8t.build.model.gguf_header import read_header
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import CHATML_TEMPLATE, GEMMA_TEMPLATE, LLAMA3_TEMPLATE, chat_format
from so8t.core.errors import BackendProtocol
from so8t.decide.prompt import Message

# Template, BOS, EOS and the special tokens of a format, put in the places of Phi's in the small model's tokenizer.
FORMATS = {
    "chatml": (CHATML_TEMPLATE, "<|endoftext|>", "<|im_end|>", {"<|user|>": "<|im_start|>", "<|end|>": "<|im_end|>"}),
    "llama3": (
        LLAMA3_TEMPLATE, "<|endoftext|>", "<|eot_id|>",
        {"<|user|>": "<|start_header_id|>", "<|system|>": "<|end_header_id|>", "<|end|>": "<|eot_id|>"},
    ),
    "gemma": (
        GEMMA_TEMPLATE, "<bos>", "<end_of_turn>",
        {"<|user|>": "<start_of_turn>", "<|end|>": "<end_of_turn>", "<|tool|>": "<bos>"},
    ),
}  # fmt: skip


class Server(ChatServer):
    """llama.cpp as it should be, at the edge: the reference's own tokens, with one fault at a time."""

    def __init__(self, reference: HuggingFace, model: Path, **faults: Any) -> None:
        super().__init__("http://127.0.0.1:9")
        self.reference, self.chat, self.faults = reference, chat_format(model), faults

    async def chat_prompt(self, messages: Sequence[Message]) -> str:
        if self.faults.get("chat") == "refuses":
            raise BackendProtocol(detail="HTTP 500")
        text = self.chat.render(messages, reply=True)
        return text + "\n" if self.faults.get("chat") == "longer" and len(messages) > 5 else text

    async def prompt_tokens(self, text: str) -> list[int]:
        return [*self.faults.get("bos", ()), *self.reference.encode(text)]

    async def tokenize(self, text: str) -> list[int]:
        return [1, 2] if self.faults.get("splits") == text else self.reference.encode(text)

    async def forced(self, prompt: Sequence[int], token: int, stop: Sequence[str]) -> tuple[str, str, int]:
        word = self.reference.tokenizer.decode([token])
        if self.faults.get("runs on") == word:
            return "limit", "", 3
        ends = word in ("<|end|>", "<|endoftext|>") and word != self.faults.get("needs a name")
        if ends:
            return "eos", "", 1
        return ("word", word, 1) if word in stop else ("limit", "", 3)


@pytest.fixture(scope="module")
def reference(burned: Path) -> HuggingFace:
    return HuggingFace(load_causal(burned, torch.float32), load_tokenizer(burned))


@pytest.fixture(scope="module")
def shipped(burned: Path, f16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF with its Modelfile, as an export has them."""
    return export_folder(tmp_path_factory.mktemp("export"), burned, f16)


def export_folder(folder: Path, model: Path, f16: Path) -> Path:
    (folder / "gguf").mkdir()
    shutil.copyfile(f16, folder / "gguf/model-F16.gguf")
    write_modelfile(folder, "F16", model, 1024)
    return folder / "gguf/model-F16.gguf"


def check(reference: HuggingFace, model: Path, gguf: Path, modelfile: Modelfile | None = None, **faults: Any) -> Any:
    server = Server(reference, model, **faults)
    return asyncio.run(check_turns(server, reference, gguf, modelfile or shipped_modelfile(gguf)))


def test_all_is_equal(reference: HuggingFace, burned: Path, shipped: Path) -> None:
    found = check(reference, burned, shipped)
    assert found == TurnsFound(found.conversations, found.conversations, 3, 3, "")
    assert found.conversations > 60


def test_conversations_are_what_the_gate_says(burned: Path) -> None:
    chat, layout = chat_format(burned), layout_of(burned)
    made = conversations(chat, layout)
    turns = [sum(m["role"] == "user" for m in c.messages) for c in made]
    assert set(turns) == set(range(1, MOST_TURNS + 1))
    assert {c.messages[0]["role"] for c in made} == {"system", "user"}
    assert {c.messages[-1]["role"] for c in made} == {"user"}
    assert {c.style for c in made if c.sample} == {"compact", "full"} and sum(c.sample is not None for c in made) == 34
    said = "\n".join(m["content"] for c in made for m in c.messages)
    assert "👨" in said and "𠮷" in said and "\n\n\n" in said and "{{ .System }}" in said and "\u3000" in said
    assert not any(token in said for token in ("<|", "|>", "<end_of_turn>", "[INST]", "<bos>"))
    assert any("<|" in text for text in TEXTS)  # it was there, and was neutralised
    strict = conversations(chat, replace(layout, refuses=True, trims=True))
    assert {m["role"] for c in strict for m in c.messages} == {"user", "assistant"}
    assert all(m["content"] == m["content"].strip() for c in strict for m in c.messages)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"bos": [5]}, "conversation 0, serving, position 0: 5 "),
        ({"chat": "longer"}, "llama.cpp, position "),
        ({"chat": "refuses"}, "conversation 0, llama.cpp: HTTP 500"),
        ({"splits": "<|end|>"}, "stop '<|end|>': tokens [1, 2] in llama.cpp"),
        ({"runs on": "<|user|>"}, "stop '<|user|>': stop_type 'limit' after 3 tokens"),
        ({"runs on": "<|endoftext|>"}, "stop '<|endoftext|>': stop_type 'limit'"),
        ({"needs a name": "<|end|>"}, "stop '<|end|>': stop_type 'limit'"),
    ],
)
def test_every_fault_of_the_server_is_seen(
    reference: HuggingFace, burned: Path, shipped: Path, faults: dict[str, Any], words: str
) -> None:
    found = check(reference, burned, shipped, **faults)
    assert words in found.difference
    assert found.conversations_equal < found.conversations or found.stops_working < found.stops


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('eq .Role "assistant"', 'eq .Role "model"', "ollama, position "),
        ("{{ end }}<|assistant|>", "{{ end }}", "conversation 0, ollama, position "),
        ("<|system|>{{ .Content }}", "<|system|> {{ .Content }}", "ollama, position 1"),
        ("{{ .Content }}<|end|>", "{{ .Content -}} <|end|>{{- .Nothing }}", "ollama: no field .Nothing"),
        ("{{ range .Messages }}", "{{ range $m := .Messages }}", "conversation 0, ollama: action"),
    ],
)
def test_every_fault_of_the_template_is_seen(
    reference: HuggingFace, burned: Path, shipped: Path, old: str, new: str, words: str
) -> None:
    modelfile = shipped_modelfile(shipped)
    assert old in modelfile.template
    found = check(reference, burned, shipped, replace(modelfile, template=modelfile.template.replace(old, new)))
    assert words in found.difference and found.conversations_equal < found.conversations


@pytest.mark.parametrize(
    ("stops", "words"),
    [
        (("<|end|>", "終わり"), "stop '終わり': tokens"),
        (("<|end|>", "a"), "stop 'a': tokens"),  # one token, but an ordinary one
        (("<|endoftext|>",), "stop '<|end|>': not in the Modelfile"),
        ((), "stop '<|end|>': not in the Modelfile"),
    ],
)
def test_every_fault_of_the_stops_is_seen(
    reference: HuggingFace, burned: Path, shipped: Path, stops: tuple[str, ...], words: str
) -> None:
    found = check(reference, burned, shipped, replace(shipped_modelfile(shipped), stops=stops))
    assert words in found.difference


def test_a_gguf_that_does_not_name_the_end_of_a_turn_is_seen(
    reference: HuggingFace, burned: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp knows such tokens by their spelling; Ollama has the header alone."""
    header = read_header(shipped)
    values = {k: v for k, v in header.values.items() if k != "tokenizer.ggml.eot_token_id"}
    changed = replace(header, values=values)
    monkeypatch.setattr("so8t.build.export.template.gate.read_header", lambda path: changed)
    assert "neither eos nor eot" in check(reference, burned, shipped).difference


def test_ollamas_own_system_message_comes_first_everywhere(reference: HuggingFace, burned: Path, shipped: Path) -> None:
    found = check(reference, burned, shipped, replace(shipped_modelfile(shipped), system="あなたは当社の助手です。"))
    assert found.conversations_equal == found.conversations and not found.difference


def dressed(burned: Path, folder: Path, name: str) -> Path:
    """The small model with another format's special tokens, template and end."""
    template, bos, eos, tokens = FORMATS[name]
    shutil.copytree(burned, folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in content["added_tokens"]:
        token["content"] = tokens.get(token["content"], token["content"])
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    known = {k: v for k, v in config.items() if k not in ("chat_template", "added_tokens_decoder")}
    config = known | {"bos_token": bos, "eos_token": eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_formats_in_a_real_llama_cpp(burned: Path, tmp_path: Path, name: str) -> None:
    model = dressed(burned, tmp_path / "model", name)
    f16 = tmp_path / "made.gguf"
    export_f16(model, f16, "so8t tiny")
    (tmp_path / "export").mkdir()
    gguf = export_folder(tmp_path / "export", model, f16)
    reference = HuggingFace(load_causal(model, torch.float32), load_tokenizer(model))
    found = compare(gguf, reference, [], [], 1, 2048)
    assert found.turns and found.conversations > 60 and found.stops >= 2, found.detail


@pytest.mark.slow
def test_a_bos_that_llama_cpp_doubles_is_refused(burned: Path, tmp_path: Path) -> None:
    model = dressed(burned, tmp_path / "model", "llama3")
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8")) | {"add_bos_token": True}
    (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    f16 = tmp_path / "made.gguf"
    export_f16(model, f16, "so8t tiny")
    (tmp_path / "export").mkdir()
    gguf = export_folder(tmp_path / "export", model, f16)
    found = compare(gguf, HuggingFace(load_causal(model, torch.float32), load_tokenizer(model)), [], [], 1, 2048)
    assert not found.passed and found.difference.startswith("conversation 0, serving, position 1: ")
