"""Ollama Modelfiles beside the GGUFs: written from the tokenizer's own chat template, read back (plan 5.4, SPEC O2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from so8t.build.export.template.chat_layout import ChatLayout, first_special, layout_of
from so8t.build.export.template.go_template import go_template
from so8t.build.model.tokenizer import added_tokens, chat_format
from so8t.core.errors import ParityFailed, TemplateUnusable
from so8t.core.files import write_text
from so8t.decide.prompt import Prompt, Style, system_text

MAXIMUM_BYTES = 1 << 18
# A command as we write it. Ollama knows no escapes: a value ends at the quotes it began with.
_COMMAND = re.compile(
    r'#[^\n]*\n|(?P<name>FROM|TEMPLATE|SYSTEM|PARAMETER (?P<key>[a-z_]+)) '
    r'(?:"""(?P<long>(?:(?!""").)*)"""|"(?P<short>[^"\n]*)"|(?P<bare>[^"\s]+))\n',
    re.DOTALL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says. system: what Ollama puts first when a conversation has no system message; "" = none."""

    model: str
    template: str
    system: str
    stops: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]


def write_modelfile(folder: Path, quantisation: str, model: Path, context: int, style: Style = "compact") -> None:
    """An Ollama Modelfile beside the GGUFs; num_ctx is the context the card was measured at (SPEC O2).

    In style "full" the model has learned from a system message, so that Ollama is told one. Raises TemplateUnusable.
    """
    layout = layout_of(model)
    lines = [
        f"FROM ./gguf/model-{quantisation}.gguf",
        "PARAMETER temperature 0.7",
        f"PARAMETER num_ctx {context}",
        *(f'PARAMETER stop "{s}"' for s in stops_of(model, layout)),
    ]
    if style == "full" and not layout.refuses:
        lines.append(f'SYSTEM """{system_text(Prompt("", "", None))}"""')
    lines.append(f'TEMPLATE """{go_template(layout)}"""')
    text = "\n".join(lines) + "\n"
    parse_modelfile(text, folder)
    write_text(folder / f"Modelfile.{quantisation}", text)


def stops_of(model: Path, layout: ChatLayout) -> list[str]:
    """The special tokens that end the assistant's turn, the text, and that begin the user's next turn."""
    special = [token for token, is_special in added_tokens(model).items() if is_special]
    chat = chat_format(model)
    return [s for s in dict.fromkeys((layout.end, chat.eos_token, first_special(layout.user.before, special))) if s]


def read_modelfile(path: Path) -> Modelfile:
    """Raises TemplateUnusable for a file that write_modelfile would not write."""
    with path.open("rb") as file:
        content = file.read(MAXIMUM_BYTES + 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TemplateUnusable(where=path, detail="UTF-8") from error
    return parse_modelfile(text, path)


def parse_modelfile(text: str, where: Path) -> Modelfile:
    """Strict: Ollama would leave out what cannot be printed, and might end a value elsewhere than we meant."""
    if len(text) > MAXIMUM_BYTES:
        raise TemplateUnusable(where=where, detail=f"Modelfile > {MAXIMUM_BYTES}")
    if hidden := next((c for c in text if not c.isprintable() and c != "\n"), ""):
        raise TemplateUnusable(where=where, detail=f"Modelfile: U+{ord(hidden):04X} cannot be printed")
    position, values = 0, []
    while position < len(text):
        found = _COMMAND.match(text, position)
        if not found:
            raise TemplateUnusable(where=where, detail=f"Modelfile: {text[position : position + 60]!r}")
        position = found.end()
        if found["name"]:
            value = next(v for v in (found["long"], found["short"], found["bare"]) if v is not None)
            values.append((found["key"] or found["name"], value))
    return _modelfile(values, where)


def _modelfile(values: list[tuple[str, str]], where: Path) -> Modelfile:
    single = {name: value for name, value in values if name != "stop"}
    stops = tuple(value for name, value in values if name == "stop")
    if len(single) + len(stops) != len(values) or not {"FROM", "TEMPLATE"} <= single.keys():
        raise TemplateUnusable(where=where, detail="Modelfile: FROM and TEMPLATE once, nothing else twice")
    model, template, system = single.pop("FROM"), single.pop("TEMPLATE"), single.pop("SYSTEM", "")
    return Modelfile(model, template, system, stops, tuple(single.items()))


def shipped_modelfile(gguf: Path) -> Modelfile:
    """The Modelfile of a GGUF, where an export has it: beside the folder that the GGUF lies in.

    Raises ParityFailed when there is none, when it is another model's, or when those beside it say other turns.
    """
    folder, of_quantisation = gguf.parent.parent, gguf.stem.removeprefix("model-")
    if not (folder / f"Modelfile.{of_quantisation}").is_file():
        raise ParityFailed(where=folder, detail=f"no Modelfile.{of_quantisation}")
    files = {path.name: read_modelfile(path) for path in sorted(folder.glob("Modelfile.*"))}
    own = files[f"Modelfile.{of_quantisation}"]
    if (folder / own.model).resolve() != gguf.resolve():
        raise ParityFailed(where=folder, detail=f"Modelfile.{of_quantisation}: FROM {own.model}")
    for name, other in files.items():
        if (other.template, other.system, other.stops) != (own.template, own.system, own.stops):
            raise ParityFailed(where=folder / name, detail=f"other turns than Modelfile.{of_quantisation}")
    return own
