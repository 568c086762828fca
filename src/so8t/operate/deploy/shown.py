"""Does Ollama hold what was sent? Its own account (/api/show) against the bundle.

Two things differ by version and are no fault. The template shown is the Modelfile's or, where Ollama prefers it, the
GGUF's own Jinja template: a bundle ships both, equivalent. And since v0.30 /api/create copies each GGUF through its
own llama-quantize, so that the file it keeps has another digest; then the digest it checked is that of the upload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so8t.operate.deploy.target import Target

_FROM = re.compile(r"^FROM .*\bsha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"^([a-z_]+)\s+(.*\S)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """Differences in words; which template will be used; whether the file kept is byte for byte the one sent."""

    differences: tuple[str, ...]
    template: str
    same_file: bool


def compare(target: Target, answer: Mapping[str, Any], chat_template: str, *, copied: bool = False) -> Shown:
    """`copied`: Ollama said that it made a copy of its own, so another digest is expected."""
    template = _template(target, str(answer.get("template", "")), chat_template)
    kept = _FROM.search(str(answer.get("modelfile", "")))
    same = kept is not None and kept[1] == target.digest
    differences = []
    if not template:
        differences.append("template")
    if str(answer.get("system") or "") != target.modelfile.system:
        differences.append("system")
    if (shown := parameters(str(answer.get("parameters") or ""))) != _sent(target):
        names = {k for k in shown.keys() | _sent(target).keys() if shown.get(k) != _sent(target).get(k)}
        differences.append(f"parameters: {', '.join(sorted(names))}")
    if not same and not copied:
        differences.append(f"digest: {kept[1][:12] if kept else '-'} ≠ {target.digest[:12]}")
    details = answer.get("details")
    level = details.get("quantization_level") if isinstance(details, dict) else None
    if level != target.quantisation:
        differences.append(f"quantization_level: {str(level)[:20]}")
    return Shown(tuple(differences), template, same)


def parameters(text: str) -> dict[str, list[Any]]:
    """The table that /api/show prints, name and value a line, a list as several lines; text stands in quotes."""
    found: dict[str, list[Any]] = {}
    for name, value in _PARAMETER.findall(text):
        try:
            found.setdefault(name, []).append(json.loads(value))
        except ValueError:
            found.setdefault(name, []).append(value)
    return {name: sorted(values, key=str) for name, values in found.items()}


def _sent(target: Target) -> dict[str, list[Any]]:
    sent = target.modelfile.parameters
    return {name: sorted(v, key=str) if isinstance(v, list) else [v] for name, v in sent.items()}


def _template(target: Target, shown: str, chat_template: str) -> str:
    """Whose template Ollama will use; "" for one that we never sent."""
    if shown == target.modelfile.template:
        return "Modelfile"
    return "GGUF" if shown and shown.strip() == chat_template.strip() else ""
