"""A policy's rules against labelled requests: what each rule must catch and must not (issue 6.4, LABELS.md).

A case is {"id"?,"query","clearance"?,"classification"?,"domain"?,"decision","rule"?,"at_least"?}. With `rule`, that
rule must be found where the decision is as severe as its effect, and must not where it is milder: a near miss. With
`at_least`, the floor must reach that much. With neither, the rules' own decision must be the label. No case may be
judged more severely than its label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import LevelUnknown, RecordInvalid, SourceMissing, SourceUnreadable
from so8t.core.files import parse_json_line, read_lines
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Opinion, Request
from so8t.decide.policy import CLEARANCE_RULE, UNREADABLE_RULE, Policy
from so8t.judge.rule import rule_opinion

MAXIMUM_BYTES = 16 << 20
MAXIMUM_LINE = 64_000
MAXIMUM_CASES = 50_000


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled request, and what it says about the rules."""

    where: str
    request: Request
    decision: Decision
    rule: str | None = None
    at_least: Decision | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What the rules made of a case; no problems = as it should be."""

    case: Case
    opinion: Opinion
    problems: tuple[str, ...]

    @property
    def judged(self) -> Decision:
        """Rules that say nothing let it pass."""
        return self.opinion.decision or Decision.ALLOW

    def to_json(self) -> dict[str, Any]:
        return {
            "where": self.case.where,
            "id": self.case.request.id,
            "wanted": self.case.decision,
            "judged": self.opinion.decision,
            "floor": self.opinion.floor,
            "rules": list(self.opinion.rules),
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class RuleTally:
    """How one rule fared: caught and missed of what names it, near misses left alone and false alarms, found in all."""

    hits: int
    misses: int
    near: int
    alarms: int
    found: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Floors on requests by their label; `by_rules` leaves out what the clearance alone demands."""

    label: Decision
    count: int
    floor_deny: int
    floor_any: int
    floor_by_rules: int

    def share(self, part: int) -> float:
        return part / self.count if self.count else 0.0


def read_cases(path: Path, policy: Policy, *, foreign_levels: bool = False) -> tuple[Case, ...]:
    """Raises SourceMissing, SourceUnreadable, and RecordInvalid or LevelUnknown with file:line.

    foreign_levels = take the default levels for the policy's of the same rank.
    """
    if not path.is_file():
        raise SourceMissing(where=path)
    if path.stat().st_size > MAXIMUM_BYTES:
        raise SourceUnreadable(where=path, detail=f"> {MAXIMUM_BYTES} bytes")
    names = dict(zip(Levels().names, policy.levels.names, strict=False)) if foreign_levels else {}
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        if len(line) > MAXIMUM_LINE or len(cases) >= MAXIMUM_CASES:
            raise RecordInvalid(where=where, detail=f"> {MAXIMUM_LINE} characters or {MAXIMUM_CASES} cases")
        if line.strip():
            case = _case(parse_json_line(line, where), where, policy, names)
            if case.request.id and (first := seen.setdefault(case.request.id, where)) != where:
                raise RecordInvalid(where=where, detail=f"id {case.request.id!r}: {first}")
            cases.append(case)
    return tuple(cases)


def _case(record: Mapping[str, Any], where: str, policy: Policy, names: Mapping[str, str]) -> Case:
    query, decision = _text(record, "query", where), _text(record, "decision", where)
    rule, at_least = _text(record, "rule", where, False), _text(record, "at_least", where, False)
    if not query.strip():
        raise RecordInvalid(where=where, detail="query")
    if rule and rule not in (CLEARANCE_RULE, UNREADABLE_RULE) and policy.rule(rule) is None:
        raise RecordInvalid(where=where, detail=f"rule: {rule!r}")
    try:
        domain = Domain(name) if (name := _text(record, "domain", where, False)) else None
        label, floor = Decision(decision), Decision(at_least) if at_least else None
    except ValueError as error:
        raise RecordInvalid(where=where, detail=f"domain, decision, at_least: {error}") from error
    clearance = _level(record, "clearance", where, policy, names) or policy.default_clearance
    classification = _level(record, "classification", where, policy, names)
    id = str(record["id"]) if isinstance(record.get("id"), (str, int)) else ""
    return Case(where, Request(id, query, clearance, classification, domain), label, rule or None, floor)


def _text(record: Mapping[str, Any], key: str, where: str, required: bool = True) -> str:
    value = record.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise RecordInvalid(where=where, detail=key)
    return value


def _level(record: Mapping[str, Any], key: str, where: str, policy: Policy, names: Mapping[str, str]) -> str | None:
    if not (name := _text(record, key, where, False)):
        return None
    if name not in policy.levels.names:
        name = names.get(name, name)
    try:
        policy.levels.rank(name)
    except LevelUnknown as error:
        error.where = where
        raise
    return name


def run_case(case: Case, policy: Policy) -> Result:
    """Judge one case by the rules alone."""
    opinion = rule_opinion(case.request, policy)
    return Result(case, opinion, tuple(_problems(case, opinion, policy)))


def run_cases(cases: Iterable[Case], policy: Policy) -> tuple[Result, ...]:
    return tuple(run_case(case, policy) for case in cases)


def must_catch(case: Case, policy: Policy) -> bool:
    """Whether the rule a case names must be found: its label is as severe as the rule's effect."""
    rule = policy.rule(case.rule or "")
    effect = rule.effect if rule else Decision.ESCALATE  # the built-in ones demand at least that
    return case.decision is effect if effect is Decision.ALLOW else case.decision.severity >= effect.severity


def _problems(case: Case, opinion: Opinion, policy: Policy) -> Iterable[str]:
    judged = opinion.decision or Decision.ALLOW
    if judged.severity > case.decision.severity:
        yield f"厳しすぎる / too severe: {judged}"
    if case.rule and must_catch(case, policy) != (case.rule in opinion.rules):
        yield f"規則 {case.rule} が" + ("働かない / missed" if must_catch(case, policy) else "働いた / false alarm")
    if case.at_least and (opinion.floor or Decision.ALLOW).severity < case.at_least.severity:
        yield f"下限が足りない / floor below {case.at_least}"
    if not case.rule and not case.at_least and judged.severity < case.decision.severity:
        yield f"緩すぎる / too mild: {judged}"


def tally(results: Sequence[Result], policy: Policy) -> dict[str, RuleTally]:
    """One entry a rule, in the order of the policy."""
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        counts.update((id, "found") for id in result.opinion.rules)
        if (id := result.case.rule) is not None:
            found = id in result.opinion.rules
            wanted = must_catch(result.case, policy)
            counts[id, ("hits" if found else "misses") if wanted else ("alarms" if found else "near")] += 1
    fields = ("hits", "misses", "near", "alarms", "found")
    return {rule.id: RuleTally(*(counts[rule.id, name] for name in fields)) for rule in policy.rules}


def rates(results: Sequence[Result], policy: Policy) -> dict[Decision, Rates]:
    """How many requests of each label get a floor; on ALLOW every floor is a false alarm."""
    return {label: _rates([r for r in results if r.case.decision is label], label, policy) for label in DECISIONS}


def _rates(results: Sequence[Result], label: Decision, policy: Policy) -> Rates:
    hard = {rule.id for rule in policy.rules if rule.hard} | {UNREADABLE_RULE}
    floors = [r.opinion.floor for r in results]
    by_rules = sum(not hard.isdisjoint(r.opinion.rules) for r in results)
    return Rates(label, len(results), floors.count(Decision.DENY), sum(f is not None for f in floors), by_rules)
