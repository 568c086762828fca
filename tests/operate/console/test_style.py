"""Style sheet, script and templates: nothing from elsewhere, nothing that runs what it reads, colours one can read."""

from __future__ import annotations

import re

import pytest

from so8t.core.packaged import packaged
from so8t.operate.console.page import SIGNS, STATIC, STATUS_SIGNS, static
from so8t.report.figures import DECISION_WORDS

CSS = static("console.css").decode()
COLOURS = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", CSS))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("text", "grounds"), [
    ("ink", ("paper", "soft", "pale")), ("muted", ("paper", "soft")), ("blue", ("paper", "soft", "pale")),
    ("green", ("green-soft", "paper")), ("amber", ("amber-soft",)), ("red", ("red-soft", "paper", "soft")),
])  # fmt: skip
def test_contrast_is_aa(text: str, grounds: tuple[str, ...]) -> None:
    for ground in grounds:
        assert contrast(COLOURS[text], COLOURS[ground]) >= 4.5, (text, ground)


def test_white_on_buttons() -> None:
    assert all(contrast("#ffffff", COLOURS[name]) >= 4.5 for name in ("blue", "green", "red"))


def test_no_state_by_colour_alone() -> None:
    assert len(set(SIGNS.values())) == len(DECISION_WORDS)
    assert len({STATUS_SIGNS[s] for s in ("pending", "allowed", "denied")}) == 3


def test_nothing_comes_from_elsewhere() -> None:
    files = [p for p in packaged("console").iterdir() if p.is_file()]
    assert {p.name for p in files if p.suffix != ".jinja"} == set(STATIC)
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|@font-face", text), path
    script = static("console.js").decode()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function\(|setTimeout\(\"", script
    )


@pytest.mark.parametrize("path", sorted(packaged("console").glob("*.jinja")), ids=lambda p: p.name)
def test_templates_never_switch_escaping_off(path: object) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert not re.search(r"\|\s*safe\b|autoescape|Markup|<style|style=|\son[a-z]+=", text)
