"""TOML read strictly: every key is known, every value has its type, and an error names file and line."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NoReturn, TypeVar

from so8t.core.errors import PolicyInvalid

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_TOML_LINE = re.compile(r"at line (\d+)")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """The text that was parsed, to find lines in."""

    where: str
    lines: tuple[str, ...]
    sections: Mapping[str, Sequence[tuple[int, int]]]

    @property
    def whole(self) -> tuple[int, int]:
        return 1, max(1, len(self.lines))

    def section(self, header: str, index: int = 0) -> tuple[int, int] | None:
        """First and last line (from 1) of the index-th table of that name, if it has a header of its own."""
        found = self.sections.get(header, ())
        return found[index] if index < len(found) else None

    def last_header(self) -> str:
        """The name of the table that begins last."""
        return max(((found[-1], name) for name, found in self.sections.items() if found), default=((0, 0), ""))[1]

    def line(self, section: tuple[int, int], key: str, value: object = None) -> int:
        """The line of a key in a section, or of one of its values when that stands on a line of its own."""
        begin, end = section[0], min(section[1], len(self.lines))
        found = begin
        for number in range(begin, end + 1):
            head = _unquoted(self.lines[number - 1].split("=")[0])
            if head == key or head.startswith(key + ".") or head.strip("[] ").split(".")[-1] == key:
                found = number
                break
        if isinstance(value, str) and value:
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            for number in range(found, end + 1):
                if value in self.lines[number - 1] or quoted in self.lines[number - 1]:
                    return number
        return found


def _unquoted(text: str) -> str:
    return text.replace('"', "").replace("'", "").strip()


@dataclass(slots=True)
class Table:
    """One table being read. Each getter takes its key; `close` refuses what nobody asked for."""

    values: dict[str, Any]
    source: Source
    section: tuple[int, int]
    path: str = ""
    taken: set[str] = field(default_factory=set)

    def fail(self, key: str, detail: str, value: object = None) -> NoReturn:
        """Raises PolicyInvalid at the line of the key."""
        where = f"{self.source.where}:{self.source.line(self.section, key, value)}"
        raise PolicyInvalid(where=where, detail=f"{self.path}{key}: {detail}")

    def close(self) -> None:
        for key in self.values:
            if key not in self.taken:
                self.fail(key, "unknown key" + suggestion(key, self.taken))

    def _take(self, key: str, kind: type[T], expected: str, default: T | None) -> T:
        self.taken.add(key)
        if key not in self.values:
            if default is None:
                self.fail(key, "missing")
            return default
        value = self.values[key]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            self.fail(key, f"{expected} expected, not {type(value).__name__}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, str, "text", default)
        if default is None and not value.strip():
            self.fail(key, "empty")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return self._take(key, bool, "true or false", default)

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number from low to high."""
        if isinstance(self.values.get(key), int) and not isinstance(self.values[key], bool):
            self.values[key] = float(self.values[key])
        value = self._take(key, float, "number", default)
        if not math.isfinite(value) or not low <= value <= high:
            self.fail(key, f"{value} is not in {low} ... {high}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        values = self._take(key, list, "list of texts", None if default is None else list(default))
        for value in values:
            if not isinstance(value, str) or not value.strip():
                self.fail(key, f"list of texts expected, not {value!r}")
        return tuple(values)

    def choice(self, key: str, convert: Callable[[str], T], names: Collection[str], default: str | None = None) -> T:
        """A text that must be one of `names`."""
        value = self.text(key, default)
        if value not in names:
            self.fail(key, f"unknown {value!r}" + suggestion(value, names), value)
        return convert(value)

    def table(self, key: str, *, optional: bool = False) -> Table:
        """A table within this one."""
        values = self._take(key, dict, "table", {} if optional else None)
        header = self.path + key
        return Table(values, self.source, self.source.section(header) or self.section, f"{header}.")

    def tables(self, key: str) -> list[Table]:
        """An array of tables; absent = empty."""
        values = self._take(key, list, "array of tables", [])
        if not all(isinstance(value, dict) for value in values):
            self.fail(key, "array of tables expected")
        source, header = self.source, self.path + key
        return [
            Table(v, source, source.section(header, i) or self.section, f"{header}[{i}].") for i, v in enumerate(values)
        ]


def suggestion(word: str, known: Collection[str]) -> str:
    """The nearest known word for an error, else all of them."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f" -> {near[0]}?" if near else f" ({' '.join(sorted(known))})"


def read_toml(text: str, where: str) -> Table:
    """The root table. Raises PolicyInvalid with the line of a syntax error."""
    lines = tuple(text.splitlines())
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = _TOML_LINE.search(str(error))
        number = line.group(1) if line else str(max(1, len(lines)))
        raise PolicyInvalid(where=f"{where}:{number}", detail=f"TOML: {error}") from error
    source = Source(where, lines, _sections(lines))
    return Table(values, source, source.whole)


def _sections(lines: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Where the tables stand, by name; a table ends where one begins that does not lie within it."""
    headers = [(_unquoted(m.group(2)), n) for n, line in enumerate(lines, 1) if (m := _HEADER.match(line))]
    found: dict[str, list[tuple[int, int]]] = {}
    for place, (name, begin) in enumerate(headers):
        following = (n for other, n in islice(headers, place + 1, None) if not other.startswith(name + "."))
        found.setdefault(name, []).append((begin, next(following, len(lines) + 1) - 1))
    return found
