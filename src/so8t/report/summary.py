"""The same figures as plain text for a terminal: tables that stay aligned with full-width characters.

Nothing that arrives as data can steer the terminal: control characters are shown as a replacement character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from so8t.report.card import deployed_result, verdict_of
from so8t.report.figures import FIGURES, NONE, STAGE_WORDS, Words, figure, measured, number, seconds, unknown_figure

GAP = "  "
VERDICTS = {
    "passed": Words("合格", "passed"),
    "failed": Words("不合格", "FAILED"),
    "unjudged": Words("未判定", "not judged"),
}


def width(text: str) -> int:
    """Columns a terminal uses: wide and full-width characters two, combining and invisible ones none.

    "Ambiguous" characters count one, as in the default of today's terminals (UAX #11).
    """
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def printable(value: Any) -> str:
    """One line of text that cannot move the cursor, change colours or turn the writing direction."""
    text = "" if value is None else str(value)
    spaced = " ".join(text.split()) if any(c in text for c in "\t\r\n") else text
    return "".join("\ufffd" if unicodedata.category(c) in {"Cc", "Cs", "Cf", "Zl", "Zp"} else c for c in spaced)


def pad(text: str, columns: int, right: bool = False) -> str:
    """Fill with spaces up to a width in columns; a longer text stays as it is."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """Lines of a table with a rule under the headers; columns of numbers are set to the right.

    A number is an int, a float, or text that begins with a digit, a sign or the dash for "none". Short rows are
    filled, None is empty. No line has trailing spaces; there is no line break at the end.
    """
    cells = [[printable(v) for v in row] for row in rows]
    count = max([len(headers), *(len(row) for row in cells)])
    head = [printable(h) for h in headers] + [""] * (count - len(headers))
    cells = [row + [""] * (count - len(row)) for row in cells]
    widths = [max(width(row[i]) for row in [head, *cells]) for i in range(count)]
    right = [_numeric([row[i] for row in cells]) for i in range(count)]
    rule = ["─" * w for w in widths]
    return "\n".join(_line(row, widths, right) for row in [head, rule, *cells])


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(pad(text, w, r) for text, w, r in zip(row, widths, right, strict=True)).rstrip()


def _numeric(texts: Sequence[str]) -> bool:
    filled = [t for t in texts if t]
    return any(t != NONE for t in filled) and all(t[0].isdecimal() or t[0] in "+-−<>≤≥" or t == NONE for t in filled)


def budget_table(stages: Iterable[Mapping[str, Any]], lang: str = "ja") -> str:
    """Seconds of every stage against its budget (card "budget"), with a total, for the end of a run."""
    over, total = Words("超過", "over"), STAGE_WORDS["total"]
    rows: list[list[str]] = []
    spent = allowed = 0.0
    for stage in stages:
        name, used, limit = str(stage.get("stage", "")), number(stage.get("seconds")), number(stage.get("budget"))
        late = used is not None and limit is not None and used > limit
        words = STAGE_WORDS.get(name, Words(name))
        rows.append([words.only(lang), seconds(used), seconds(limit), over.only(lang) if late else ""])
        spent, allowed = spent + (used or 0.0), allowed + (limit or 0.0)
    late = 0 < allowed < spent
    rows.append([total.only(lang), seconds(spent), seconds(allowed or None), over.only(lang) if late else ""])
    return table(rows, ["段階", "実測", "予算", ""] if lang == "ja" else ["stage", "spent", "budget", ""])


def card_table(card: Mapping[str, Any], lang: str = "ja") -> str:
    """Name, verdict and the thresholds of a card, or its main figures where it has no thresholds."""
    thresholds = card.get("thresholds")
    rows = thresholds.get("rows") if isinstance(thresholds, Mapping) else None
    words = VERDICTS[verdict_of(card)].only(lang)
    demo = Words(" (デモ用)", " (demo)").only(lang) if card.get("demo") else ""
    head = f"{printable(card.get('name'))}: {words}{demo}"
    body = _threshold_table(rows, lang) if rows else _figure_table(card, lang)
    return f"{head}\n\n{body}" if body else head


def _threshold_table(rows: Iterable[Mapping[str, Any]], lang: str) -> str:
    lines = []
    for row in rows:
        name, passed = str(row.get("name", "")), row.get("passed") is True
        f = figure(name) or unknown_figure(name, row.get("value"), row.get("bound"), passed)
        outcome = VERDICTS["passed" if passed else "failed"].only(lang)
        plan = f.write_bound(f.plan, strict=True)
        lines.append([f.words.only(lang), f.write(row.get("value")), f.write_bound(row.get("bound")), plan, outcome])
    ja, en = ["項目", "測定値", "基準", "計画", "判定"], ["figure", "value", "threshold", "plan", "result"]
    return table(lines, ja if lang == "ja" else en)


def _figure_table(card: Mapping[str, Any], lang: str) -> str:
    _, result, _ = deployed_result(card)
    found = [(f, measured(result, f.path)) for f in FIGURES.values()]
    lines = [[f.words.only(lang), f.write(m["value"]), f"{m['n']:.0f}" if "n" in m else ""] for f, m in found if m]
    return table(lines, ["項目", "測定値", "件数"] if lang == "ja" else ["figure", "value", "n"]) if lines else ""
