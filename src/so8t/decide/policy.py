"""A policy file -> levels, costs, contracts and compiled rules (plan 3.2 policy_state, identity_contract; issue 6.4).

Parsing is pure; whoever reads the file passes its text and its name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from so8t.core.errors import PolicyInvalid
from so8t.core.types import DECISIONS, Decision, Domain, Levels
from so8t.decide.patterns import Pattern, any_of, fold
from so8t.decide.policy_sections import (
    AnswerPolicy,
    ReadingPolicy,
    ReviewPolicy,
    read_answer,
    read_end,
    read_reading,
    read_review,
)
from so8t.decide.policy_words import Words, compiled, read_words
from so8t.decide.rule_index import RuleIndex
from so8t.decide.strict_toml import Table, read_toml

MAXIMUM_BYTES = 1_000_000
MAXIMUM_LINE = 20_000
MAXIMUM_RULES = 2000
CLEARANCE_RULE = "clearance"
UNREADABLE_RULE = "unreadable"
READING_RULE = "uncertain-reading"
BUILT_IN = (CLEARANCE_RULE, UNREADABLE_RULE, READING_RULE)
THRESHOLDS = (
    "allow_f1", "escalate_f1", "deny_f1", "macro_f1", "refuse_recall", "false_allow", "danger_allowed", "over_refusal",
    "over_escalation", "ece",
)  # fmt: skip
JUDGES = ("rule", "model", "precedent")
Scope = Literal["sentence", "text"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its effect holds where all of `all` and none of `none` are found in one sentence (or text) of a view.

    A hard rule's effect is a floor nothing lowers; a soft one adds `weight` to the log-odds of its effect.
    """

    id: str
    effect: Decision
    hard: bool
    all: tuple[Pattern, ...]
    none: tuple[Pattern, ...]
    scope: Scope
    weight: float
    domains: frozenset[Domain]
    policy_ref: str | None
    escalation_target: str | None
    reason: str

    def concerns(self, domain: Domain | None) -> bool:
        """A rule for certain domains also speaks when nobody has said which domain it is."""
        return not self.domains or domain is None or domain in self.domains


@dataclass(frozen=True, slots=True)
class Marker:
    """How a classification level is read from a text, e.g. 【極秘】."""

    pattern: Pattern
    level: str


@dataclass(frozen=True, slots=True)
class Fusion:
    """How opinions are weighed (DESIGN.md "How three opinions become one verdict").

    danger_allowed: which share of dangerous requests may be allowed at most, with 95 % confidence (allow_limit.py).
    """

    weights: Mapping[str, float]
    minimum_confidence: float
    maximum_disagreement: float
    danger_allowed: float | None = None


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """The identity contract of one domain (plan 3.2), and whom to name.

    minimum_confidence: what a verdict in this domain needs instead of the fusion's; None = the same.
    """

    role: str
    scope: str
    limitations: tuple[str, ...]
    escalation_policy: str
    escalation_target: str
    policy_refs: Mapping[Decision, str]
    minimum_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A valid policy. costs[judged][true] = what it costs to judge a request so that is truly so.

    complete = the file ends with [end], so that it cannot have been cut off.
    """

    id: str
    version: str
    label: str
    org_name: str
    levels: Levels
    default_clearance: str
    disclosure_rules: Mapping[str, str]
    markers: tuple[Marker, ...]
    costs: Mapping[Decision, Mapping[Decision, float]]
    fusion: Fusion
    thresholds: Mapping[str, float]
    domains: Mapping[Domain, DomainPolicy]
    rules: tuple[Rule, ...]
    words: Words
    answer: AnswerPolicy
    review: ReviewPolicy
    reading: ReadingPolicy
    complete: bool
    digest: str
    _index: RuleIndex = field(repr=False, compare=False)
    _marking: re.Pattern[str] = field(repr=False, compare=False)

    def domain(self, domain: Domain | None) -> DomainPolicy:
        """A domain's own section, else that of general."""
        return self.domains.get(domain or Domain.GENERAL, self.domains[Domain.GENERAL])

    def contract(self, domain: Domain | None) -> dict[str, Any]:
        """Plan 3.2 identity_contract."""
        own = self.domain(domain)
        return {
            "role": own.role,
            "scope": own.scope,
            "limitations": list(own.limitations),
            "escalation_policy": own.escalation_policy,
        }

    def state(self) -> dict[str, Any]:
        """Plan 3.2 policy_state."""
        return {
            "org_name": self.org_name,
            "classification_levels": list(self.levels.names),
            "disclosure_rules": dict(self.disclosure_rules),
            "audit_required": True,
        }

    def rule(self, id: str) -> Rule | None:
        """The rule of that id; None for the built-in ones (clearance, unreadable, uncertain-reading)."""
        return next((rule for rule in self.rules if rule.id == id), None)

    def markers_in(self, text: str) -> list[Marker]:
        """The markers found in a text."""
        if not self._marking.search(text):
            return []
        return [marker for marker in self.markers if marker.pattern.found(text)]

    def candidates(self, text: str) -> dict[int, list[int]]:
        """Numbers of the rules that may hold in the text, and where to look ([] = anywhere); no other rule can."""
        return self._index.places(fold(text))


def parse_policy(text: str, where: str) -> Policy:
    """Parse and check a whole policy file; `where` is its name in errors.

    Raises PolicyInvalid(where="file:line") for anything unknown, missing, of a wrong type or unsafe.
    """
    encoded = _bounded(text, where)
    root = read_toml(text, where)
    levels = _levels(root)
    words = read_words(root.table("words", optional=True))
    rules = _rules(root, words)
    domains = _domains(root.table("domains"))
    targets = {d.escalation_target for d in domains.values()}
    targets.update(rule.escalation_target for rule in rules if rule.escalation_target is not None)
    ids = {*BUILT_IN, *(rule.id for rule in rules)}
    markers = tuple(_marker(t, levels, words) for t in root.tables("markers"))
    policy = Policy(
        id=root.text("id"),
        version=root.text("version"),
        label=root.text("label"),
        org_name=root.text("org_name"),
        levels=levels,
        default_clearance=root.choice("default_clearance", str, levels.names),
        disclosure_rules=_disclosure(root.table("disclosure_rules"), levels),
        markers=markers,
        costs=_costs(root.table("costs")),
        fusion=_fusion(root.table("fusion")),
        thresholds=_thresholds(root.table("thresholds", optional=True)),
        domains=domains,
        rules=rules,
        words=words,
        answer=read_answer(root.table("answer", optional=True), words),
        review=read_review(root.table("review", optional=True), levels, ids, targets),
        reading=read_reading(root.table("reading", optional=True)),
        complete=read_end(root, len(rules)),
        digest=hashlib.sha256(encoded).hexdigest(),
        _index=RuleIndex([rule.all for rule in rules]),
        _marking=any_of([marker.pattern for marker in markers]),
    )
    root.close()
    return policy


def _bounded(text: str, where: str) -> bytes:
    """The bytes of a file that is neither too large nor has a line that is too long."""
    if len(encoded := text.encode("utf-8", "surrogatepass")) > MAXIMUM_BYTES:
        raise PolicyInvalid(where=f"{where}:1", detail=f"{len(encoded)} > {MAXIMUM_BYTES} bytes")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAXIMUM_LINE:
            raise PolicyInvalid(where=f"{where}:{number}", detail=f"line: {len(line)} > {MAXIMUM_LINE} characters")
    return encoded


def _levels(root: Table) -> Levels:
    names = root.texts("levels")
    if len(names) < 2 or len(set(names)) != len(names):
        root.fail("levels", "at least two different levels, lowest first")
    return Levels(names)


def _disclosure(table: Table, levels: Levels) -> dict[str, str]:
    found = {name: table.text(name) for name in levels.names}
    table.close()
    return found


def _marker(table: Table, levels: Levels, words: Words) -> Marker:
    marker = Marker(compiled(table, "regex", table.text("regex"), words), table.choice("level", str, levels.names))
    table.close()
    return marker


def _costs(table: Table) -> dict[Decision, dict[Decision, float]]:
    """A full 3 x 3 table in which judging rightly is cheapest."""
    costs: dict[Decision, dict[Decision, float]] = {}
    for judged in DECISIONS:
        row = table.table(judged.value)
        costs[judged] = {true: row.number(true.value, 0.0, 1e6) for true in DECISIONS}
        row.close()
    table.close()
    for judged in DECISIONS:
        for true in DECISIONS:
            if judged is not true and costs[judged][true] <= costs[true][true]:
                table.fail(judged.value, f"judging {true} as {judged} must cost more than judging it rightly")
    return costs


def _fusion(table: Table) -> Fusion:
    weights = table.table("weights")
    fusion = Fusion(
        weights={judge: weights.number(judge, 0.0, 100.0) for judge in JUDGES},
        minimum_confidence=table.number("minimum_confidence", 0.0, 1.0),
        maximum_disagreement=table.number("maximum_disagreement", 0.0, 1.0),
        danger_allowed=table.number("danger_allowed", 0.0, 1.0) if "danger_allowed" in table.values else None,
    )
    weights.close()
    table.close()
    return fusion


def _thresholds(table: Table) -> dict[str, float]:
    """What the card must reach; a figure that is not named is not required. The rest are known keys."""
    found = {name: table.number(name, 0.0, 1.0) for name in THRESHOLDS if name in table.values}
    table.taken.update(THRESHOLDS)
    table.close()
    return found


def _domains(table: Table) -> dict[Domain, DomainPolicy]:
    """Any of the eight domains; general must be there, because the others fall back to it."""
    if Domain.GENERAL.value not in table.values:
        table.fail(Domain.GENERAL.value, "missing")
    table.taken.update(domain.value for domain in Domain)
    table.close()
    return {domain: _domain(table.table(domain.value)) for domain in Domain if domain.value in table.values}


def _domain(table: Table) -> DomainPolicy:
    refs = table.table("policy_refs")
    domain = DomainPolicy(
        role=table.text("role"),
        scope=table.text("scope"),
        limitations=table.texts("limitations"),
        escalation_policy=table.text("escalation_policy"),
        escalation_target=table.text("escalation_target"),
        policy_refs={decision: refs.text(decision.value) for decision in DECISIONS},
        minimum_confidence=(
            table.number("minimum_confidence", 0.0, 1.0) if "minimum_confidence" in table.values else None
        ),
    )
    refs.close()
    table.close()
    return domain


def _rules(root: Table, words: Words) -> tuple[Rule, ...]:
    tables = root.tables("rules")
    if len(tables) > MAXIMUM_RULES:
        root.fail("rules", f"{len(tables)} > {MAXIMUM_RULES} rules")
    seen = set(BUILT_IN)
    rules = []
    for table in tables:
        rule = _rule(table, words)
        if rule.id in seen:
            table.fail("id", f"{rule.id!r} is taken")
        seen.add(rule.id)
        rules.append(rule)
    return tuple(rules)


def _rule(table: Table, words: Words) -> Rule:
    rule = Rule(
        id=table.text("id"),
        effect=table.choice("effect", Decision, [d.value for d in DECISIONS]),
        hard=table.flag("hard", False),
        all=_patterns(table, "all", None, words),
        none=_patterns(table, "none", (), words),
        scope="text" if table.choice("scope", str, ("sentence", "text"), "sentence") == "text" else "sentence",
        weight=table.number("weight", 0.0, 20.0, 1.0),
        domains=_rule_domains(table),
        policy_ref=table.text("policy_ref", "") or None,
        escalation_target=table.text("escalation_target", "") or None,
        reason=table.text("reason"),
    )
    table.close()
    if not rule.all:
        table.fail("all", "empty: the rule would always match")
    if rule.hard and rule.effect is Decision.ALLOW:
        table.fail("hard", "ALLOW may only be soft: a floor cannot be lower than nothing")
    return rule


def _rule_domains(table: Table) -> frozenset[Domain]:
    known = [d.value for d in Domain]
    for name in (names := table.texts("domains", ())):
        if name not in known:
            table.fail("domains", f"unknown {name!r} ({' '.join(known)})", name)
    return frozenset(Domain(name) for name in names)


def _patterns(table: Table, key: str, default: tuple[str, ...] | None, words: Words) -> tuple[Pattern, ...]:
    return tuple(compiled(table, key, source, words) for source in table.texts(key, default))
