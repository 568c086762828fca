"""An API key, or a secret between two programs, in a file of its own."""

from __future__ import annotations

from pathlib import Path

from so8t.core.errors import ConfigValueInvalid

LONGEST = 4096  # characters


def read_key(path: str | Path, where: str = "") -> str:
    """The file's one line. Raises ConfigValueInvalid, never showing what is in it; `where`: the setting it is of."""
    where = where or str(path)
    try:
        with Path(path).open("rb") as f:
            raw = f.read(LONGEST + 3)  # the line's end, and one byte too many
        text = raw.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigValueInvalid(where=where, detail=type(error).__name__) from None
    if len(raw) > LONGEST + 2 or not is_key(text):
        raise ConfigValueInvalid(where=where, detail="one line of visible characters expected")
    return text


def is_key(text: str) -> bool:
    """What can stand in a header: visible ASCII characters, not too many."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable() and " " not in text
