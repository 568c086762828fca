"""A curve in one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.,-=+*#"


def sparkline(values: Sequence[float], encoding: str | None) -> str:
    """A character a value, lowest to highest; in ASCII where the stream's encoding has no blocks."""
    marks = BLOCKS if can_write(BLOCKS, encoding) else ASCII
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(marks) - 1) / (high - low) if high > low else 0.0
    return "".join(marks[round((v - low) * scale)] for v in values)


def can_write(text: str, encoding: str | None) -> bool:
    """Whether an encoding has all characters of a text; an unknown one has none."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
