"""What all pictures of the page share: one language a picture, white paper (a dark page would swallow the ink)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from so8t.report import svg
from so8t.report.figures import Words

LANGUAGES = ("ja", "en")
WIDTH = 440  # as plots.WIDTH: 13-unit text stays above 10 px on a telephone
_TSPAN = r' ?<tspan class="{}" lang="[a-z]+"[^>]*>([^<]*)</tspan> ?'


def sheet(height: float, title: Words, note: Words, body: Sequence[str], lang: str) -> str:
    """A finished picture in one language."""
    paper = svg.rect(0, 0, WIDTH, height, svg.WHITE)
    return svg.document(WIDTH, height, title.only(lang), Words(note.only(lang)), [paper, *body], "ja") + "\n"


def wrapped(picture: str, lang: str) -> str:
    """A plot of the package, which carries both languages, in one language."""
    other = next(name for name in LANGUAGES if name != lang)
    return re.sub(_TSPAN.format(lang), r"\1", re.sub(_TSPAN.format(other), "", picture))


def placed(picture: str, y: float) -> str:
    """A whole picture as a part of another, `y` below its top."""
    return picture.replace("<svg ", f'<svg y="{y:g}" ', 1)


def size(picture: str) -> float:
    """The height of a finished picture."""
    found = re.search(r' height="([\d.]+)"', picture)
    assert found
    return float(found[1])


def heading(x: float, y: float, words: Words, lang: str) -> str:
    return svg.text(x, y, words.only(lang), lang, "start", svg.INK, 13, bold=True)


def label(x: float, y: float, words: Words | str, lang: str, anchor: str = "middle", size: float = 12) -> str:
    text = words if isinstance(words, str) else words.only(lang)
    return svg.text(x, y, text, lang, anchor, svg.MUTED, size)


def shade(share: float) -> str:
    """White to blue in 24 steps by share in [0, 1]; the lightness alone carries the meaning."""
    level = round(24 * min(1.0, max(0.0, share))) / 24
    return "#" + "".join(f"{round(255 + (end - 255) * level):02x}" for end in (31, 78, 121))


def power_of_ten(value: float) -> str:
    """1e-5 rather than 1e-05."""
    return f"1e{round(math.log10(value))}"
