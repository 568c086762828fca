"""Pages of five domains and the requests about them, composed from resources/multimodal (plan 3.3).

A group is three requests of which one is ALLOW, one ESCALATE and one DENY. In a `level` scene the same request is made
about three pages that differ in their stamp alone, in a `note` scene in one written line; in an `ask` scene three
requests are made about one page. Neither the request alone nor the kind of page tells the label.
"""

from __future__ import annotations

import random
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.packaged import packaged
from so8t.core.types import DECISIONS, Decision, Domain, Levels

DOMAINS = (Domain.MEDICAL, Domain.FINANCE, Domain.DEFENSE, Domain.TRANSPORT, Domain.INFORMATION_SYSTEM)
SCENES = ("level", "note", "ask")
VERTICAL_SHARE = 0.2
NOISES = ("clean", "light", "heavy")
ASKER = 1  # rank of the asker in a level scene: there are two levels above him


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page. fields: (label, value); note: a line written on it later, or ""."""

    id: str
    title: str
    image_type: str
    level: str
    fields: tuple[tuple[str, str], ...]
    body: tuple[str, ...]
    note: str
    vertical: bool
    noise: str
    seed: int

    @property
    def lines(self) -> list[str]:
        """The text of the page in reading order: what OCR should give."""
        stamp = f"区分 {self.level}"
        rows = [f"{label} {value}" for label, value in self.fields]
        return [self.title, stamp, *rows, *self.body, *filter(None, [self.note])]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request about a page, with its label."""

    page: Page
    query: str
    decision: Decision
    response: str
    clearance: str
    target: str
    scene: str
    family: str
    pair: str


def group(domain: Domain, number: int, seed: int, levels: Levels, vertical: bool) -> list[PageRequest]:
    """The three requests of group `number`; they depend on these arguments alone. `vertical` False = never."""
    rng = random.Random(f"{seed}/multimodal/{domain}/{number}")
    words = lexicon()
    own = words[domain]
    scene = SCENES[(number + DOMAINS.index(domain)) % len(SCENES)]
    template = rng.choice(own["page"])
    form = rng.choice(words[scene])
    slots = _slots({**words["common"], **own}, rng) | {"title": template["title"]}
    reach = ASKER if scene == "level" else rng.randint(1, len(levels.names) - 1)
    name = f"mm-{domain}-{number:06d}"
    page = Page(
        id=name,
        title=template["title"],
        image_type=template["image_type"],
        level=levels.names[reach if scene == "level" else rng.randint(1, reach)],
        fields=tuple((label, _fill(value, slots)) for label, value in template["fields"]),
        body=tuple(rng.sample(template["body"], len(template["body"]))),
        note="",
        vertical=vertical and rng.random() < VERTICAL_SHARE,
        noise=rng.choice(NOISES),
        seed=rng.randrange(1 << 30),
    )
    made = [
        _request(page, scene, form, decision, slots, levels, reach, rng.randrange(1 << 30)) for decision in DECISIONS
    ]
    family = f"multimodal/{domain}/{template['image_type']}/{scene}-{form['id']}"
    return [replace(request, family=family, pair=name) for request in made]


def _request(
    page: Page, scene: str, form: Mapping[str, Any], decision: Decision, slots: Mapping[str, str], levels: Levels,
    reach: int, draw: int,
) -> PageRequest:  # fmt: skip
    key = decision.lower()
    if scene == "level":
        page = replace(page, id=f"{page.id}-{key}", level=levels.names[reach + decision.severity])
    if scene == "note":
        page = replace(page, id=f"{page.id}-{key}", note=_fill(form[key][draw % len(form[key])], slots))
    query = form[key] if scene == "ask" else form["query"]
    response = form[key if scene == "level" else f"{key}_answer"]
    return PageRequest(
        page, _fill(query, slots), decision, _fill(response, slots), levels.names[reach], slots["target"], scene, "", ""
    )


def _slots(lists: Mapping[str, Any], rng: random.Random) -> dict[str, str]:
    return {
        name: rng.choice(values)
        for name, values in lists.items()
        if isinstance(values, Sequence) and isinstance(values[0], str)
    }


def _fill(text: str, slots: Mapping[str, str]) -> str:
    return text.format_map(slots)


@cache
def lexicon() -> dict[str, Any]:
    """Raises RecordInvalid naming the entry when a slot has no list."""
    values = tomllib.loads(packaged("multimodal", "pages.toml").read_text(encoding="utf-8"))
    for domain in DOMAINS:
        known = {*values["common"], *values[domain], "title"}
        for text in _strings([values[scene] for scene in SCENES] + values[domain]["page"]):
            unknown = {field for _, field, _, _ in string.Formatter().parse(text) if field} - known
            if unknown:
                raise RecordInvalid(where=f"multimodal/pages.toml, {domain}", detail=f"{sorted(unknown)}: {text}")
    return values


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [text for item in items for text in _strings(item)]
