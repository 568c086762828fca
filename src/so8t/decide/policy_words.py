"""Word lists of a policy file, and its regexes in which 《name》 stands for any word of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping

from so8t.decide.patterns import Pattern, compile_pattern
from so8t.decide.strict_toml import Table, suggestion

Words = Mapping[str, tuple[str, ...]]
_NAME = re.compile(r"《(\w+)》")


def read_words(table: Table) -> dict[str, tuple[str, ...]]:
    """Named lists of words (regexes themselves, but not nested). Raises PolicyInvalid."""
    found = {}
    for name in list(table.values):
        words = table.texts(name)
        for word in words:
            compiled(table, name, word, {})
        found[name] = words
    return found


def compiled(table: Table, key: str, source: str, words: Words) -> Pattern:
    """Raises PolicyInvalid at the regex's own line for an unknown list or a regex that is wrong or unsafe."""
    for name in _NAME.findall(source):
        if name not in words:
            table.fail(key, f"unknown word list 《{name}》" + suggestion(name, words), source)
    try:
        return compile_pattern(_NAME.sub(lambda m: f"(?:{'|'.join(words[m.group(1)])})", source))
    except ValueError as error:
        table.fail(key, str(error), source)
