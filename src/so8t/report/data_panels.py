"""What the data report is made of: sections of panels, each a title in both languages with a table, a plot, or both.

Facts may hold anything: a count that is none counts as nothing, a text that could steer a page is made harmless.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from so8t.report.count_plots import CountBar, count_bars
from so8t.report.figures import NONE, Words, number
from so8t.report.reading import mapping
from so8t.report.summary import printable

LONGEST = 400  # characters of a text that is shown
MOST_BARS, MOST_ROWS, MOST_BINS = 24, 200, 60
COUNT = Words("件数", "count")
NOTHING, UNDRAWN = Words(""), Markup("")
_FIGURE = re.compile(r"[0-9.,]+( %)?")
Cell = Words | int | float
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows of cells; the first column names the row. `more` rows are not shown."""

    headers: tuple[Words, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One titled figure. half: one of two a row, the table folded behind its plot; pair: plot and table side by side;
    wide: the table over the whole width. Markdown has the tables alone."""

    title: Words
    table: Table | None = None
    plot: Markup = UNDRAWN
    note: Words = NOTHING
    layout: Literal["half", "pair", "wide"] = "half"


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: Words
    about: Words
    panels: tuple[Panel, ...]


def section(key: str, title: Words, about: Words, panels: Iterable[Panel | None]) -> Section | None:
    """The section of the panels that there are, or None."""
    found = tuple(panel for panel in panels if panel is not None)
    return Section(key, title, about, found) if found else None


def counted(
    title: Words, column: Words, counts: Any, words: Mapping[str, Words], first: str, note: Words = NOTHING
) -> Panel | None:
    """Bars of {name: n}, most first, with their table; None where there are none."""
    pairs = ordered(counts, words)
    if not pairs:
        return None
    bars = [CountBar(name, (n,)) for name, n in pairs[:MOST_BARS]]
    plot = Markup(count_bars(bars, (COUNT,), title=title, first=first))
    return Panel(title, table((column, COUNT), pairs), plot, note if len(pairs) <= MOST_BARS else _rest(note, pairs))


def _rest(note: Words, pairs: Sequence[Any]) -> Words:
    left = len(pairs) - MOST_BARS
    return Words(f"{note.ja} ほか {left:,} は表にある。".strip(), f"{note.en} {left:,} more are in the table.".strip())


def table(headers: tuple[Words, ...], rows: Iterable[tuple[Cell, ...]]) -> Table:
    """At most MOST_ROWS rows; the others are counted."""
    every = tuple(rows)
    return Table(headers, every[:MOST_ROWS], max(0, len(every) - MOST_ROWS))


def ordered(counts: Any, words: Mapping[str, Words]) -> list[tuple[Words, int]]:
    """Names and counts of {name: n}: those in `words` that have an order keep it in a tie, most first."""
    pairs = [(named(key, words), whole(n)) for key, n in mapping(counts).items()]
    places = {name: i for i, name in enumerate(words.values())}
    return sorted(pairs, key=lambda p: (-p[1], places.get(p[0], len(places)), p[0].ja))


def named(key: Any, words: Mapping[str, Words] | None = None) -> Words:
    """The words of a name, or the name itself made harmless."""
    return (words or {}).get(str(key)) or Words(harmless(key))


def harmless(value: Any) -> str:
    """Text of at most LONGEST characters that stays on its line and in its writing direction."""
    text = NONE if value is None else str(value)
    return printable(text[:LONGEST]) + ("…" if len(text) > LONGEST else "")


def whole(value: Any) -> int:
    """A count; 0 for everything that is none."""
    n = number(value)
    return max(0, round(n)) if n is not None else 0


def optional(facts: Facts, key: str) -> Cell:
    """A count that may be missing."""
    return whole(facts[key]) if number(facts.get(key)) is not None else Words(NONE)


def bins(value: Any) -> list[tuple[float, int]]:
    """[[lower edge, count]] in order, without what is none."""
    rows = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    pairs = [row for row in rows if isinstance(row, Sequence) and len(row) == 2 and number(row[0]) is not None]
    return sorted((float(low), whole(n)) for low, n in pairs)


def coarser(found: Sequence[tuple[float, int]], step: float) -> tuple[list[tuple[float, int]], float]:
    """At most MOST_BINS bins from the lowest edge to the highest, and their width; few bins stay as they are."""
    if not found:
        return [], step
    factor = math.ceil((found[-1][0] - found[0][0] + step) / step / MOST_BINS - 1e-9)
    if factor <= 1:
        return list(found), step
    merged: dict[float, int] = {}
    for low, n in found:
        edge = math.floor(low / (step * factor) + 1e-9) * step * factor
        merged[edge] = merged.get(edge, 0) + n
    return sorted(merged.items()), step * factor


def shown(cell: Cell, write: Callable[[Words], str]) -> str:
    """A cell as text; `write` sets its words in one language or two."""
    if isinstance(cell, Words):
        return write(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


def is_number(cell: Cell) -> bool:
    """Set to the right: counts, and words that are a figure or the dash."""
    return not isinstance(cell, Words) or cell.ja == NONE or _FIGURE.fullmatch(cell.ja) is not None
