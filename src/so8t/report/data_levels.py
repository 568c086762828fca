"""Decisions by clearance and classification: what the two levels tell of the label (plan 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from so8t.report.count_plots import shaded_table
from so8t.report.data_panels import Cell, Facts, Panel, Section, named, section, table, whole
from so8t.report.data_words import LEVEL_WORDS
from so8t.report.figures import DECISION_WORDS, NONE, Words

CLEARANCE, CLASSIFICATION = Words("権限", "clearance"), Words("区分", "classification")
TITLE = Words("権限と区分ごとの判定", "Decisions by clearance and classification")
MOST_LEVELS = 8  # more would not fit their words
Counts = Mapping[tuple[str, str], tuple[int, ...]]


def levels_section(facts: Facts, first: str) -> Section | None:
    """facts["levels"] as a table, and in shades where the levels are few."""
    counts = _counts(facts.get("levels"))
    if not counts:
        return None
    rows, columns = _ranked({a for a, _ in counts}), _ranked({b for _, b in counts})
    lines: list[tuple[Cell, ...]] = [
        (named(a, LEVEL_WORDS), named(b, LEVEL_WORDS), *counts[a, b]) for a in rows for b in columns if (a, b) in counts
    ]
    note = Words(
        "A = ALLOW(許可)、E = ESCALATE(人へ回す)、D = DENY(拒否)。濃さは欄の中の割合。",
        "A = ALLOW, E = ESCALATE, D = DENY. The shade is the share within the cell.",
    )
    headers = (CLEARANCE, CLASSIFICATION, *DECISION_WORDS.values())
    panel = Panel(TITLE, table(headers, lines), _plot(rows, columns, counts, first), note, "pair")
    about = Words(
        "権限が足りるとき、正解は依頼の中身で決まる。区分だけで当てられる欄が多いほど、依頼は易しい。",
        "Where the clearance suffices the request itself decides. The more cells have one decision, the easier.",
    )
    return section("levels", Words("権限と区分", "Clearance and classification"), about, (panel,))


def _counts(listed: Any) -> Counts:
    """{(clearance, classification): a count each decision}; no level is the dash."""
    counts = Counter[tuple[str, str, str]]()
    for row in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        if isinstance(row, Sequence) and len(row) == 4:
            clearance, classification, decision = (NONE if v is None else str(v) for v in row[:3])
            counts[clearance, classification, decision] += whole(row[3])
    pairs = sorted({(a, b) for a, b, _ in counts})  # a set has another order in every process; the report has not
    return {pair: tuple(counts[(*pair, d)] for d in DECISION_WORDS) for pair in pairs}


def _plot(rows: Sequence[str], columns: Sequence[str], counts: Counts, first: str) -> Markup:
    if max(len(rows), len(columns)) > MOST_LEVELS:
        return Markup("")
    return Markup(
        shaded_table(
            [named(level, LEVEL_WORDS) for level in rows],
            [named(level, LEVEL_WORDS) for level in columns],
            {(rows.index(a), columns.index(b)): found for (a, b), found in counts.items()},
            [name[0] for name in DECISION_WORDS],
            title=TITLE,
            sides=(CLEARANCE, CLASSIFICATION),
            first=first,
        )
    )


def _ranked(levels: Collection[str]) -> list[str]:
    """Lowest first; a level we do not know comes after those we do."""
    order = list(LEVEL_WORDS)
    return sorted(levels, key=lambda level: (order.index(level) if level in order else len(order), level))
