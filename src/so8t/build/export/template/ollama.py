"""The prompt that Ollama makes of a conversation with a Modelfile's template (ollama/ollama, docs/template.md)."""

from __future__ import annotations

from collections.abc import Sequence

from so8t.build.export.template.go_evaluate import evaluate
from so8t.decide.prompt import Message


def ollama_prompt(template: str, messages: Sequence[Message]) -> str:
    """What Ollama's /api/chat would tokenize. Raises TemplateUnusable."""
    collated = _collated(messages)
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    return evaluate(template, {"System": system, "Messages": collated, "Response": ""})


def _collated(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Neighbours of one role become one message, as Ollama has it."""
    collated: list[dict[str, str]] = []
    for message in messages:
        if collated and collated[-1]["Role"] == message["role"]:
            collated[-1]["Content"] += "\n\n" + message["content"]
        else:
            collated.append({"Role": message["role"], "Content": message["content"]})
    return collated
