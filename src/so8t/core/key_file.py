"""An API key, or a secret between two programs, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from so8t.core.errors import ConfigValueInvalid

LONGEST = 4096  # characters


def read_key(path: str | Path, where: str = "") -> str:
    """The file's one line, as it goes into a header: no spaces. Raises ConfigValueInvalid, never showing what is in it;
    `where`: the setting it is of."""
    return _line(path, where or str(path), is_key)


def read_secret(path: str | Path, where: str = "") -> str:
    """The same of a secret that goes into a body, where spaces may be part of it (RFC 6749, appendix A.2)."""
    return _line(path, where or str(path), _is_secret)


def is_key(text: str) -> bool:
    """What can stand in a header: visible ASCII characters, not too many."""
    return _is_secret(text) and " " not in text


def _line(path: str | Path, where: str, fits: Callable[[str], bool]) -> str:
    try:
        with Path(path).open("rb") as f:
            raw = f.read(LONGEST + 3)  # the line's end, and one byte too many
        text = raw.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigValueInvalid(where=where, detail=type(error).__name__) from None
    if len(raw) > LONGEST + 2 or not fits(text):
        raise ConfigValueInvalid(where=where, detail="one line of visible characters expected")
    return text


def _is_secret(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable()
