"""The sections of a policy file that say what no answer may hold, who reviews, and that the file is whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from so8t.core.types import Domain, Levels
from so8t.decide.patterns import Pattern
from so8t.decide.policy_words import Words, compiled
from so8t.decide.strict_toml import Table, suggestion

DEADLINE_HOURS = 24.0
LONGEST_DEADLINE = 24.0 * 366
SHORTEST_CANARY, LONGEST_CANARY = 8, 200
MAXIMUM_ENTRIES = 500
MINIMUM_READING = 0.95  # of OCR, where a policy says nothing: docs/results/ocr.md
MINIMA = ("minimum_confidence", "minimum_detection", "minimum_speech")
DETECTORS, RECOGNISER = ("detector", "anomaly"), "whisper"  # how the engines of operate/senses are called
MOST_RAISED = 100
SETTLES = ("nobody", "asker", "everyone")
_REVIEWER = re.compile(r"@?[^\s@\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True, slots=True)
class ForbiddenTerm:
    """What no sentence of a released answer may match, and why."""

    pattern: Pattern
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """What an answer is checked for before it is released. Canaries are secret markers, so they are never shown."""

    forbidden: tuple[ForbiddenTerm, ...] = ()
    canaries: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class FourEyes:
    """Where two different reviewers must agree: any of these levels, domains or rules is enough."""

    levels: frozenset[str]
    domains: frozenset[Domain]
    rules: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """How handed-over requests are decided; a request still open after the deadline is a DENY.

    settles: for whom an ALLOW of a reviewer settles the same request later: one of SETTLES (judge/ruling.py).
    """

    deadline_hours: float = DEADLINE_HOURS
    settles: str = "asker"
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    four_eyes: tuple[FourEyes, ...] = ()

    def reviewers_of(self, target: str | None) -> tuple[str, ...]:
        """User names and "@group"s that may decide for an escalation target; empty = any reviewer."""
        return self.targets.get(target or "", ())

    def needs_two(self, classification: str | None, domain: Domain | None, rules: Collection[str]) -> bool:
        """Whether two different reviewers must agree. A domain nobody has told counts as any, as it does for rules."""
        return any(
            classification in eyes.levels
            or bool(eyes.domains and (domain is None or domain in eyes.domains))
            or not eyes.rules.isdisjoint(rules)
            for eyes in self.four_eyes
        )


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """What the confidence of OCR, detectors and recognisers is worth; each has a scale of its own.

    Below its minimum a request goes to a person, whatever the judges say, and a document read by OCR is taken to be
    `raise_levels` more secret than what could be read of it says.
    """

    minimum_confidence: float = MINIMUM_READING
    minimum_detection: float = 0.6
    minimum_speech: float = 0.6
    raise_levels: int = 1

    def doubts(self, confidence: float, engine: str = "") -> bool:
        """Whether what this engine is so sure of is too little. Whoever is not known is held to OCR's measure."""
        least = self.minimum_detection if engine in DETECTORS else self.minimum_confidence
        return not confidence >= (self.minimum_speech if engine == RECOGNISER else least)  # NaN is doubtful


def read_reading(table: Table) -> ReadingPolicy:
    """[reading]; the defaults without it. Raises PolicyInvalid."""
    own = ReadingPolicy()
    least = {name: table.number(name, 0.0, 1.0, getattr(own, name)) for name in MINIMA}
    raised = table.number("raise_levels", 0, MOST_RAISED, own.raise_levels)
    if raised != int(raised):
        table.fail("raise_levels", "a whole number")
    table.close()
    return ReadingPolicy(**least, raise_levels=int(raised))


def read_answer(table: Table, words: Words) -> AnswerPolicy:
    """[answer]; nothing is forbidden without it. Raises PolicyInvalid."""
    forbidden = tuple(_forbidden(term, words) for term in _bounded(table, "forbidden"))
    canaries = table.texts("canaries", ())
    for number, canary in enumerate(canaries, 1):
        if not SHORTEST_CANARY <= len(canary) <= LONGEST_CANARY:  # said by number: it is a secret
            table.fail("canaries", f"canary {number}: {SHORTEST_CANARY} to {LONGEST_CANARY} characters")
    if len(set(canaries)) != len(canaries) or len(canaries) > MAXIMUM_ENTRIES:
        table.fail("canaries", f"at most {MAXIMUM_ENTRIES} different ones")
    table.close()
    return AnswerPolicy(forbidden, canaries)


def _forbidden(table: Table, words: Words) -> ForbiddenTerm:
    term = ForbiddenTerm(compiled(table, "regex", table.text("regex"), words), table.text("reason"))
    table.close()
    return term


def read_review(table: Table, levels: Levels, rules: Collection[str], targets: Collection[str]) -> ReviewPolicy:
    """[review]; `rules` and `targets` are the ids and escalation targets of the same file. Raises PolicyInvalid."""
    review = ReviewPolicy(
        deadline_hours=table.number("deadline_hours", 0.01, LONGEST_DEADLINE, DEADLINE_HOURS),
        settles=table.choice("settles", str, SETTLES) if "settles" in table.values else ReviewPolicy().settles,
        targets=_targets(_bounded(table, "targets"), targets),
        four_eyes=tuple(_four_eyes(eyes, levels, rules) for eyes in _bounded(table, "four_eyes")),
    )
    table.close()
    return review


def _targets(tables: list[Table], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for table in tables:
        name = table.choice("name", str, known)
        reviewers = table.texts("reviewers")
        for reviewer in reviewers:
            if not _REVIEWER.fullmatch(reviewer):
                table.fail("reviewers", f"user name or @group expected, not {reviewer!r}", reviewer)
        if not reviewers or len(set(reviewers)) != len(reviewers):
            table.fail("reviewers", "at least one, each once: leave the target out if any reviewer may decide")
        if name in found:
            table.fail("name", f"{name!r} is taken")
        table.close()
        found[name] = reviewers
    return found


def _four_eyes(table: Table, levels: Levels, rules: Collection[str]) -> FourEyes:
    domains = _names(table, "domains", [domain.value for domain in Domain])
    eyes = FourEyes(
        levels=_names(table, "levels", levels.names),
        domains=frozenset(map(Domain, domains)),
        rules=_names(table, "rules", rules),
    )
    table.close()
    if not (eyes.levels or eyes.domains or eyes.rules):
        table.fail("levels", "empty: name at least one level, domain or rule")
    return eyes


def _names(table: Table, key: str, known: Collection[str]) -> frozenset[str]:
    names = table.texts(key, ())
    for name in names:
        if name not in known:
            table.fail(key, f"unknown {name!r}" + suggestion(name, known), name)
    return frozenset(names)


def _bounded(table: Table, key: str) -> list[Table]:
    tables = table.tables(key)
    if len(tables) > MAXIMUM_ENTRIES:
        table.fail(key, f"{len(tables)} > {MAXIMUM_ENTRIES}")
    return tables


def read_end(root: Table, rules: int) -> bool:
    """Whether [end] stands last and counts the rules rightly; a file cut off while it was written has none.

    Raises PolicyInvalid when it is there and wrong.
    """
    if "end" not in root.values:
        return False
    table = root.table("end")
    if root.source.last_header() != "end":
        root.fail("end", "must stand last in the file")
    stated = table.number("rules", 0, 1e6)
    if stated != rules:
        table.fail("rules", f"{stated:g} stated, {rules} found")
    table.close()
    return True
