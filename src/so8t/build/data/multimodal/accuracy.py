"""How well pages were read: character error rate, and whether what decides a request can be read at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from so8t.build.data.multimodal.pages import Page, PageRequest
from so8t.core.text import nfkc
from so8t.core.types import Levels
from so8t.decide.image_text import level_on
from so8t.documents.ocr import Reading

NOTE_ERROR = 0.2  # of a note: one character in five may be wrong, then people cannot be sure of it either


def character_error_rate(wanted: str, found: str) -> float:
    """Edit distance over the length of what should stand there; width and spaces do not count."""
    a, b = _characters(wanted), _characters(found)
    return _distances(a, b, np.arange(len(b) + 1))[-1] / max(1, len(a))


def passage_error_rate(wanted: str, found: str) -> float:
    """The same for the piece of `found` that comes nearest to `wanted`."""
    a, b = _characters(wanted), _characters(found)
    return min(_distances(a, b, np.zeros(len(b) + 1, np.int64))) / max(1, len(a))


def legible(page: Page, reading: Reading, levels: Levels) -> bool:
    """Whether the stamp, and the note if there is one, can be read: they decide."""
    stamped = level_on(reading.text, levels.names) == page.level
    return stamped and (not page.note or passage_error_rate(page.note, reading.text) <= NOTE_ERROR)


def accuracy(
    pages: Sequence[Page], readings: Mapping[str, Reading], requests: Sequence[PageRequest], levels: Levels
) -> dict[str, Any]:
    """Figures of the pages, and of the requests that are kept. by_layout: error rate by direction and by noise."""
    errors: dict[str, list[float]] = defaultdict(list)
    for page in pages:
        error = character_error_rate("".join(page.lines), readings[page.id].text)
        for key in ("all", _direction(page), page.noise):
            errors[key].append(error)
    mean = {key: round(float(np.mean(found)), 4) for key, found in sorted(errors.items())}
    stamps = [level_on(readings[page.id].text, levels.names) == page.level for page in pages]
    return {
        "pages": len(pages),
        "samples": len(requests),
        "kinds": dict(Counter(page.image_type for page in pages)),
        "decisions": dict(Counter(r.decision.value for r in requests)),
        "scenes": dict(Counter(r.scene for r in requests)),
        "character_error_rate": mean.pop("all", None),
        "by_layout": mean,
        "confidence": round(float(np.mean([readings[p.id].confidence for p in pages])), 4) if pages else None,
        "stamps_misread": stamps.count(False),
        "directions_mistaken": sum(_direction(page) != readings[page.id].orientation for page in pages),
    }


def _direction(page: Page) -> str:
    return "vertical" if page.vertical else "horizontal"


def _characters(text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([ord(c) for c in "".join(nfkc(text).split())], np.int64)


def _distances(a: Any, b: Any, row: Any) -> list[int]:
    """Last row of the table of edit distances (Wagner and Fischer 1974); `row` is its first."""
    place = np.arange(len(b) + 1)
    for character in a:
        best = np.minimum(row[1:] + 1, row[:-1] + (b != character))
        # An insertion costs one more than the place before: the running minimum of (best - place) + place.
        row = np.minimum.accumulate(np.concatenate([[row[0] + 1], best]) - place) + place
    return [int(value) for value in row]
