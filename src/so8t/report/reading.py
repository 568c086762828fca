"""Reading a card that may hold anything: what is not what it should be is treated as missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from so8t.report.figures import DECISION_WORDS, NONE, SMALL_SAMPLE, Figure, bounds, number, zero_bound
from so8t.report.plots import Bin


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [v for v in value if isinstance(v, Mapping)]


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [plain(v) for v in value] if isinstance(value, Sequence) else []


def plain(value: Any) -> str:
    """Any JSON value as text; whole numbers with separators."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}" if number(value) is not None else NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(v) for v in value)
    return NONE if value is None else str(value)


def confusion_counts(result: Mapping[str, Any]) -> list[list[int]]:
    """The 3 x 3 counts, or [] for anything else."""
    rows = result.get("confusion")
    if not isinstance(rows, Sequence) or len(rows) != len(DECISION_WORDS):
        return []
    values = [[number(v) for v in row] if isinstance(row, Sequence) else [] for row in rows]
    if any(len(row) != len(DECISION_WORDS) or any(v is None or v < 0 for v in row) for row in values):
        return []
    return [[round(v or 0) for v in row] for row in values]


def reliability_bins(value: Any) -> list[Bin]:
    """Bins that hold something; an empty bin has no confidence and no accuracy."""
    found = []
    for b in mappings(value):
        low, high, n, confidence, accuracy = (number(b.get(k)) for k in ("low", "high", "n", "confidence", "accuracy"))
        if low is None or high is None or n is None or n <= 0 or confidence is None or accuracy is None:
            continue
        if all(0 <= v <= 1 for v in (low, high, confidence, accuracy)):
            found.append(Bin(low, high, round(n), confidence, accuracy))
    return found


def interval(f: Figure, found: Mapping[str, float]) -> str:
    """The 95 % interval in words, the rule of three where no failure was seen; "" where there is none."""
    if bound := zero_bound(f, found):
        return bound
    if (span := bounds(f, found)) is None:
        return ""
    low, high = span
    return f"{100 * low:.1f}–{100 * high:.1f}" if f.unit == "percent" else f"{low:.3f}–{high:.3f}"


def cell(f: Figure, part: Mapping[str, Any]) -> dict[str, Any]:
    """One figure of a dense table: value, below it the interval and n, and whether n is few.

    Without a denominator (nothing to divide by) the cell is a dash.
    """
    found = {k: v for k in ("value", "low", "high", "n") if (v := number(part.get(k))) is not None}
    if "value" not in found:
        return {"text": NONE, "small": "", "n": "", "few": False}
    n = found.get("n")
    return {
        "text": f.write(found["value"]),
        "small": interval(f, found),
        "n": "" if n is None or zero_bound(f, found) else f"n {n:,.0f}",  # the rule of three names its n
        "few": n is not None and n < SMALL_SAMPLE,
    }


def speed(value: Any) -> str:
    v = number(value)
    return NONE if v is None else f"{v:,.0f} tokens/s"


def moment(value: Any) -> str:
    """2026-11-23 22:36 UTC+09:00; text that is no date is shown as it is."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(value)
