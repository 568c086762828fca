"""A layout in Ollama's language, Go's text/template (pkg.go.dev/text/template), without any trimming of spaces."""

from __future__ import annotations

import re

from so8t.build.export.template.chat_layout import ChatLayout, Turn

# What Go or a Modelfile would not take as it stands: braces that could open an action, quotes that could end the
# Modelfile's value, and what is not printable but for line ends (Ollama's reader of Modelfiles leaves it out).
_DELICATE = re.compile(r'\{+|"+')


def go_template(layout: ChatLayout) -> str:
    """The template's text for a Modelfile. It renders .Messages and .System as the layout does."""
    parts = [_literal(layout.start), _before(layout), "{{ range .Messages }}", _turns(layout), "{{ end }}"]
    return "".join([*parts, _literal(layout.assistant.before)])


def _before(layout: ChatLayout) -> str:
    if layout.refuses:  # an index that is never there: the error that the template raises for system messages
        return "{{ if .System }}{{ index .Messages -1 }}{{ end }}"
    if layout.within:
        return "{{ $system := .System }}"
    return "{{ if not .System }}" + _literal(layout.standing) + "{{ end }}" if layout.standing else ""


def _turns(layout: ChatLayout) -> str:
    turns = {"user": _turn(layout.user, _inside(layout)), "assistant": _turn(layout.assistant)}
    if layout.system and not layout.within:
        turns = {"system": _turn(layout.system)} | turns
    cases = [f'if eq .Role "{role}" }}}}{text}' for role, text in turns.items()]
    return "{{ " + "{{ else ".join(cases) + "{{ end }}"


def _turn(turn: Turn, inside: str = "") -> str:
    return _literal(turn.before) + inside + "{{ .Content }}" + _literal(turn.after)


def _inside(layout: ChatLayout) -> str:
    """The system's words in the first turn of the user, and no more after that."""
    if not (layout.within and layout.system):
        return ""
    words = _literal(layout.system.before) + "{{ $system }}" + _literal(layout.system.after)
    return "{{ if $system }}" + words + '{{ $system = "" }}{{ end }}'


def _literal(text: str) -> str:
    text = _DELICATE.sub(lambda m: _constant(m.group()), text)
    return "".join(c if c.isprintable() or c == "\n" else _constant(c) for c in text)


def _constant(text: str) -> str:
    """A string constant of Go, in numbers."""
    return '{{ "' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text) + '" }}'
