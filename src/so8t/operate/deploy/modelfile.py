"""Read an Ollama Modelfile of a bundle: what the REST interface is told is what the file says, and nowhere else.

Source: docs/modelfile.mdx and parser/parser.go of github.com/ollama/ollama. Only what our bundles use is understood;
anything else would be lost on the way, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.bundle_listing import read_bounded
from so8t.core.errors import BundleBroken

MAX_BYTES = 1 << 20
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_COMMAND = re.compile(r"[ \t]*(?:PARAMETER[ \t]+([a-z_]+)|(FROM|TEMPLATE|SYSTEM))[ \t]+", re.IGNORECASE)
# """many lines""" or the rest of the line, in quotes or bare. Ollama knows no escapes inside quotes.
_VALUE = re.compile(r'(?:"""(.*?)"""|"([^\n]*)"|([^\n]*?))[ \t]*(?:\n|\Z)', re.S)
_INTEGERS = frozenset(("num_ctx", "num_predict", "num_keep", "num_batch", "num_gpu", "num_thread", "top_k", "seed"))
_FLOATS = frozenset(("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"))


@dataclass(frozen=True, slots=True)
class Modelfile:
    """`source` is the GGUF as FROM names it; `parameters` have the types that the REST interface wants."""

    source: str
    template: str
    system: str
    parameters: Mapping[str, Any]

    @property
    def context(self) -> int:
        return int(self.parameters["num_ctx"])

    @property
    def stop(self) -> list[str]:
        return list(self.parameters["stop"])


def read_modelfile(path: Path) -> Modelfile:
    """Raises BundleBroken with the line for anything that is not understood."""
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleBroken(where=path, detail=type(error).__name__) from error
    return parse_modelfile(text, str(path))


def parse_modelfile(text: str, where: str) -> Modelfile:
    """Raises BundleBroken."""
    single: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    for number, command, value in _commands(text.replace("\r\n", "\n"), where):
        line = f"{where}:{number}"
        if command in ("from", "template", "system"):
            if command in single:
                raise BundleBroken(where=line, detail=f"Modelfile: {command} twice")
            single[command] = value
        elif command == "stop":
            parameters.setdefault("stop", []).append(value)
        else:
            parameters[command] = _number(command, value, line)
    missing = [c for c in ("from", "template") if not single.get(c)]
    missing += [p for p in ("num_ctx", "stop") if not parameters.get(p)]
    if missing:
        raise BundleBroken(where=where, detail=f"Modelfile: {', '.join(missing)} missing")
    return Modelfile(single["from"], single["template"], single.get("system", ""), parameters)


def _commands(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """(line number, command or parameter name in small letters, value)."""
    position = 0
    while position < len(text):
        number = text.count("\n", 0, position) + 1
        if blank := _BLANK.match(text, position):
            position = blank.end()
            continue
        command = _COMMAND.match(text, position)
        value = _VALUE.match(text, command.end()) if command else None
        if command is None or value is None or (value[3] or "").startswith('"'):
            raise BundleBroken(where=f"{where}:{number}", detail="Modelfile")
        yield number, (command[1] or command[2]).lower(), next(v for v in value.groups() if v is not None)
        position = value.end()


def _number(name: str, value: str, line: str) -> float | int:
    try:
        if name in _INTEGERS:
            return int(value)
        if name in _FLOATS:
            return float(value)
    except ValueError:
        pass
    raise BundleBroken(where=line, detail=f"Modelfile: PARAMETER {name} {value[:40]}")
