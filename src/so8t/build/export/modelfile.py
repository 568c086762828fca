"""Ollama Modelfiles beside the GGUFs (plan 5.4, SPEC O2)."""

from __future__ import annotations

from pathlib import Path

from so8t.build.model.tokenizer import chat_format
from so8t.core.files import write_text

# Ollama's own template language; the GGUF carries the same template in Jinja.
_OLLAMA_TEMPLATE = "{{- range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"


def write_modelfile(folder: Path, quantisation: str, model: Path, context: int) -> None:
    """An Ollama Modelfile beside the GGUFs (plan 5.4); num_ctx is the context the card was measured at (SPEC O2)."""
    chat = chat_format(model)
    stops = [
        s
        for s in ("<|end|>", "<|endoftext|>", "<|user|>")
        if s in chat.template or s == chat.eos_token or s == "<|user|>"
    ]
    lines = [
        f"FROM ./gguf/model-{quantisation}.gguf",
        "PARAMETER temperature 0.7",
        f"PARAMETER num_ctx {context}",
        *(f'PARAMETER stop "{s}"' for s in stops),
        f'TEMPLATE """{_OLLAMA_TEMPLATE}"""',
    ]
    write_text(folder / f"Modelfile.{quantisation}", "\n".join(lines) + "\n")
