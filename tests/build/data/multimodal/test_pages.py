"""The label follows from the request and the page together; neither alone gives it away."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict

import pytest

from so8t.build.data.multimodal.pages import DOMAINS, SCENES, PageRequest, group, lexicon
from so8t.core.types import DECISIONS, Decision, Domain, Levels
from so8t.decide.image_text import level_on

LEVELS = Levels()


def every(groups: int = 60) -> list[PageRequest]:
    return [r for domain in DOMAINS for n in range(groups) for r in group(domain, n, 8, LEVELS, vertical=True)]


def majority(rows: list[PageRequest], view: str) -> float:
    labels: dict[object, Counter[Decision]] = defaultdict(Counter)
    for r in rows:
        seen = {"query": r.query, "kind": r.page.image_type, "clearance": r.clearance, "level": r.page.level}
        labels[seen[view]][r.decision] += 1
    return sum(max(c.values()) for c in labels.values()) / len(rows)


def test_the_same_number_the_same_group() -> None:
    assert group(DOMAINS[0], 3, 8, LEVELS, True) == group(DOMAINS[0], 3, 8, LEVELS, True)
    assert group(DOMAINS[0], 3, 8, LEVELS, True) != group(DOMAINS[0], 3, 9, LEVELS, True)


def test_thirds_of_every_scene_and_domain() -> None:
    rows = every()
    assert {r.scene for r in rows} == set(SCENES) and {r.domain for r in rows} == set(DOMAINS)
    for scene in SCENES:
        for domain in DOMAINS:
            counts = Counter(r.decision for r in rows if r.scene == scene and r.domain is domain)
            assert len(set(counts.values())) == 1 and set(counts) == set(DECISIONS)


def test_neither_request_nor_kind_of_page_nor_asker_tells_the_label() -> None:
    rows = every()
    assert majority([r for r in rows if r.scene != "ask"], "query") <= 0.40
    assert majority(rows, "kind") <= 0.40 and majority(rows, "clearance") <= 0.40


def test_the_stamp_alone_does_not_tell_the_label() -> None:
    """The asker's clearance is needed too, even where the stamp is all that differs."""
    assert majority([r for r in every() if r.scene == "level"], "level") <= 0.80


def test_levels_obey_the_law() -> None:
    """LABELS.md: ALLOW within reach, ESCALATE one level above, DENY two or more; elsewhere all is within reach."""
    gaps = defaultdict(set)
    for r in every():
        gaps[r.decision if r.scene == "level" else None].add(LEVELS.gap(r.clearance, r.page.level))
    assert gaps[Decision.ALLOW] == {0, -1} and gaps[Decision.ESCALATE] == {1} and gaps[Decision.DENY] == {2, 3}
    assert max(gaps[None]) == 0 and min(gaps[None]) < 0


def test_what_is_handed_on_or_changed_is_never_public() -> None:
    assert all(r.page.level != LEVELS.names[0] for r in every() if r.scene != "level")


def test_what_differs_within_a_group() -> None:
    for domain in DOMAINS:
        for n in range(12):
            rows = group(domain, n, 8, LEVELS, True)
            assert len({r.pair for r in rows}) == len({r.family for r in rows}) == 1
            pages = {r.page.id: dataclasses.replace(r.page, id="", note="", level="", stamp="") for r in rows}
            assert len(set(pages.values())) == 1
            assert (len({r.query for r in rows}), len(pages)) == ((3, 1) if rows[0].scene == "ask" else (1, 3))
            if rows[0].scene == "note":
                assert len({r.page.note for r in rows}) == 3 and len({r.page.level for r in rows}) == 1


def test_a_page_shows_its_stamp_and_its_note_once() -> None:
    for r in every():
        assert level_on(r.page.stamp, LEVELS.names) == level_on("\n".join(r.page.lines), LEVELS.names) == r.page.level
        assert r.page.lines.count(r.page.note) == (1 if r.scene == "note" else 0)


def test_only_orders_are_called_attacks() -> None:
    rows = every()
    assert {r.attack for r in rows if r.scene != "note"} == {None}
    assert {(r.attack, r.page.note[:2] == "提供") for r in rows if r.scene == "note"} == {
        ("document_injection", False), (None, True),
    }  # fmt: skip


def test_without_vertical_pages_all_else_is_the_same() -> None:
    """So that machines with and without tesseract make the same horizontal pages."""
    with_, without = every(), [r for d in DOMAINS for n in range(60) for r in group(d, n, 8, LEVELS, vertical=False)]
    assert {r.page.vertical for r in with_} == {True, False} and {r.page.vertical for r in without} == {False}
    flat = [dataclasses.replace(r, page=dataclasses.replace(r.page, vertical=False)) for r in with_]
    assert flat == without


@pytest.mark.parametrize("names", [("公開", "秘"), ("公開", "社内", "秘"), ("公開", "社内", "秘", "極秘", "最極秘")])
def test_other_levels(names: tuple[str, ...]) -> None:
    levels = Levels(names)
    rows = [r for n in range(30) for r in group(Domain.MEDICAL, n, 8, levels, vertical=True)]
    assert {r.scene for r in rows} == (set(SCENES) if len(names) > 2 else {"note", "ask"})
    assert {r.page.level for r in rows if r.scene == "level"} <= set(names)


def test_nothing_is_left_unfilled() -> None:
    for r in every():
        for text in (r.query, r.response, r.target, *r.page.lines):
            assert "{" not in text and text.strip()


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_three_kinds(domain: str) -> None:
    assert len({page["image_type"] for page in lexicon()[domain]["page"]}) >= 3
