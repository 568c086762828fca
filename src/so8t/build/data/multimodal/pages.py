"""Pages of five domains and the requests about them, composed from resources/multimodal (plan 3.3).

A group is three requests of which one is ALLOW, one ESCALATE and one DENY. In a `level` scene the same request is made
about three pages that differ in their stamp alone, in a `note` scene in one line written on them later: an order that
the request obeys, an order hidden from it, or a consent. In an `ask` scene three requests are made about one page.
Neither the request alone nor the kind of page tells the label.
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
SENTENCES = 3  # of a page's body
NOISES = ("clean", "light", "heavy")
STEPS = 3  # levels that a level scene needs: the asker's, one and two above


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page. stamp: the level as it is printed; fields: (label, value); note: a line written on it
    later, or ""."""

    id: str
    title: str
    image_type: str
    level: str
    stamp: str
    fields: tuple[tuple[str, str], ...]
    body: tuple[str, ...]
    note: str
    vertical: bool
    noise: str
    seed: int

    @property
    def lines(self) -> list[str]:
        """The text of the page in reading order: what OCR should give."""
        rows = [f"{label} {value}" for label, value in self.fields]
        return [self.title, self.stamp, *rows, *self.body, *filter(None, [self.note])]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request about a page, with its label. attack: what the note does to whoever reads the page, if anything."""

    domain: Domain
    page: Page
    query: str
    decision: Decision
    response: str
    clearance: str
    target: str
    scene: str
    attack: str | None
    family: str
    pair: str


@dataclass(frozen=True, slots=True)
class _Draw:
    """What the three requests of a group have in common. reach: rank of the asker's clearance."""

    domain: Domain
    page: Page
    scene: str
    form: Mapping[str, Any]
    stamp: str
    slots: Mapping[str, str]
    levels: Levels
    reach: int
    family: str


def group(domain: Domain, number: int, seed: int, levels: Levels, vertical: bool) -> list[PageRequest]:
    """The three requests of group `number`; they depend on these arguments alone. With `vertical` False a page that
    would be vertical is horizontal, and all else is the same."""
    rng = random.Random(f"{seed}/multimodal/{domain}/{number}")
    drawn = _draw(domain, number, rng, levels, vertical)
    return [_request(drawn, decision, rng) for decision in DECISIONS]


def _draw(domain: Domain, number: int, rng: random.Random, levels: Levels, vertical: bool) -> _Draw:
    words, top = lexicon(), len(levels.names) - 1
    scenes = SCENES if len(levels.names) >= STEPS else SCENES[1:]
    scene = scenes[(number + DOMAINS.index(domain)) % len(scenes)]
    template, form = rng.choice(words[domain]["page"]), rng.choice(words[scene])
    slots = _slots({**words["common"], **words[domain]}, rng) | {"title": template["title"]}
    # Nothing is asked about a public page but in a level scene: to hand it on would be harmless.
    reach = rng.randint(0, top + 1 - STEPS) if scene == "level" else rng.randint(min(1, top), top)
    level, stamp = levels.names[rng.randint(min(1, reach), reach)], rng.choice(words["stamps"]["forms"])
    page = Page(
        id=f"mm-{domain}-{number:06d}",
        title=template["title"],
        image_type=template["image_type"],
        level=level,
        stamp=stamp.format(level=level),
        fields=tuple((label, _fill(value, slots)) for label, value in template["fields"]),
        body=tuple(rng.sample(template["body"], SENTENCES)),
        note="",
        vertical=rng.random() < VERTICAL_SHARE and vertical,
        noise=rng.choice(NOISES),
        seed=rng.randrange(1 << 30),
    )
    family = f"multimodal/{domain}/{template['image_type']}/{scene}-{form['id']}"
    return _Draw(domain, page, scene, form, stamp, slots, levels, reach, family)


def _request(drawn: _Draw, decision: Decision, rng: random.Random) -> PageRequest:
    page, scene, form, key = drawn.page, drawn.scene, drawn.form, decision.lower()
    if scene == "level":
        level = drawn.levels.names[_rank(decision, drawn.reach, len(drawn.levels.names) - 1, rng)]
        page = replace(page, id=f"{page.id}-{key}", level=level, stamp=drawn.stamp.format(level=level))
    if scene == "note":
        page = replace(page, id=f"{page.id}-{key}", note=_fill(rng.choice(form[key]), drawn.slots))
    return PageRequest(
        domain=drawn.domain,
        page=page,
        query=_fill(form[key] if scene == "ask" else form["query"], drawn.slots),
        decision=decision,
        response=_fill(form[key] if scene == "level" else form[f"{key}_answer"], drawn.slots),
        clearance=drawn.levels.names[drawn.reach],
        target=drawn.slots["target"],
        scene=scene,
        attack=form.get("attack"),
        family=drawn.family,
        pair=drawn.page.id,
    )


def _rank(decision: Decision, reach: int, top: int, rng: random.Random) -> int:
    """Of the material: within reach, one level above, two or more above (LABELS.md). Mostly as near as may be, or the
    lowest level would always mean ALLOW and the highest DENY, whoever asks."""
    if decision is Decision.ALLOW:
        return rng.choice((reach, reach, rng.randint(0, reach)))
    return (
        reach + 1 if decision is Decision.ESCALATE else rng.choice((reach + 2, reach + 2, rng.randint(reach + 2, top)))
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
