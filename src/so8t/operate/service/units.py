"""The text of our systemd units with the real places in it; everything else stays as it ships."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from so8t.core.errors import PlaceUnfit
from so8t.core.packaged import packaged

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def unit(name: str, settings: Mapping[str, str]) -> str:
    """A packaged unit with some of its settings replaced; "" takes a line out. Raises KeyError for one it has not."""
    lines = packaged("systemd", name).read_text(encoding="utf-8").splitlines()
    for key, value in settings.items():
        found = [i for i, line in enumerate(lines) if line.startswith(f"{key}=")]
        if not found:
            raise KeyError(key)
        lines[found[0]] = f"{key}={value}"
        for i in reversed(found if not value else found[1:]):
            del lines[i]
    return "\n".join(lines) + "\n"


def command(program: Path, arguments: Sequence[str | Path] = ()) -> str:
    """A command line as systemd reads it (systemd.service(5), systemd.syntax(7)).

    Raises PlaceUnfit for a control character, and for what systemd allows in no program's name.
    """
    if any(c in str(program) for c in "\\\"'"):
        raise PlaceUnfit(where=program, detail="quotation mark or backslash")
    words = [_quoted(str(program).replace("%", "%%"))]  # no variable is looked for in a program's name
    return " ".join(words + [_quoted(str(a).replace("%", "%%").replace("$", "$$")) for a in arguments])


def _quoted(text: str) -> str:
    if not text.isprintable():
        raise PlaceUnfit(where=repr(text), detail="control character")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def path_setting(path: Path) -> str:
    """A path for a setting that is no command: no quotes there, but %% for a per cent sign."""
    text = str(path)
    if not text.isprintable() or text != text.strip():
        raise PlaceUnfit(where=repr(text), detail="control character or outer space")
    return text.replace("%", "%%")
