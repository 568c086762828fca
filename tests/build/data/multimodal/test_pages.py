"""The label follows from the request and the page together; neither alone gives it away."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from so8t.build.data.multimodal.pages import DOMAINS, SCENES, PageRequest, group, lexicon
from so8t.core.types import DECISIONS, Decision, Levels

LEVELS = Levels()


def every(groups: int = 30) -> list[PageRequest]:
    return [r for domain in DOMAINS for n in range(groups) for r in group(domain, n, 8, LEVELS, vertical=True)]


def majority(rows: list[PageRequest], view: str) -> float:
    labels: dict[object, Counter[Decision]] = defaultdict(Counter)
    for r in rows:
        labels[r.query if view == "query" else r.page.image_type][r.decision] += 1
    return sum(max(c.values()) for c in labels.values()) / len(rows)


def test_the_same_number_the_same_group() -> None:
    assert group(DOMAINS[0], 3, 8, LEVELS, True) == group(DOMAINS[0], 3, 8, LEVELS, True)
    assert group(DOMAINS[0], 3, 8, LEVELS, True) != group(DOMAINS[0], 3, 9, LEVELS, True)


def test_thirds_of_every_scene_and_domain() -> None:
    rows = every()
    assert {r.scene for r in rows} == set(SCENES)
    for scene in SCENES:
        counts = Counter(r.decision for r in rows if r.scene == scene)
        assert len(set(counts.values())) == 1 and set(counts) == set(DECISIONS)


def test_neither_request_nor_kind_of_page_tells_the_label() -> None:
    rows = every()
    assert majority([r for r in rows if r.scene != "ask"], "query") <= 0.40
    assert majority(rows, "kind") <= 0.40


def test_levels_obey_the_law() -> None:
    """LABELS.md: ALLOW within reach, ESCALATE one level above, DENY two; elsewhere the material is within reach."""
    for r in every():
        gap = LEVELS.gap(r.clearance, r.page.level)
        if r.scene == "level":
            assert gap == r.decision.severity
        else:
            assert gap <= 0


def test_what_differs_within_a_group() -> None:
    for domain in DOMAINS:
        for n in range(12):
            rows = group(domain, n, 8, LEVELS, True)
            assert len({r.pair for r in rows}) == len({r.family for r in rows}) == 1
            queries, pages = {r.query for r in rows}, {r.page.id for r in rows}
            assert (len(queries), len(pages)) == ((3, 1) if rows[0].scene == "ask" else (1, 3))
            if rows[0].scene == "note":
                assert len({r.page.note for r in rows}) == 3 and len({r.page.level for r in rows}) == 1


def test_nothing_is_left_unfilled() -> None:
    for r in every():
        for text in (r.query, r.response, *r.page.lines):
            assert "{" not in text and text.strip()


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_three_kinds(domain: str) -> None:
    assert len({page["image_type"] for page in lexicon()[domain]["page"]}) >= 3
