"""The word lists of resources/pii: names, job titles, labels, places."""

from __future__ import annotations

import re
import tomllib
from functools import cache

from so8t.core.packaged import packaged


@cache
def _table(file: str) -> dict[str, str]:
    return tomllib.loads(packaged("pii", f"{file}.toml").read_text(encoding="utf-8"))


def words(file: str, name: str) -> tuple[str, ...]:
    """One list, longest words first, so that as an alternation it matches as much as it can."""
    return tuple(sorted(_table(file)[name].split(), key=len, reverse=True))


def any_of(file: str, name: str) -> str:
    """A regex for any word of the list."""
    return f"(?:{'|'.join(map(re.escape, words(file, name)))})"
