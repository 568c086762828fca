"""What differs between two policies, and whether the new one can only be stricter (issue 6.4: hot reload).

Only tightenings that can be argued from the shape of the file count: what a card says of the old policy then still
holds for what is let through: no floor is lower, and no request is newly ALLOW. A DENY that only the model voted for
may become ESCALATE where a new rule demands a person. A soft rule or a cost moves the balance both ways: "other".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from so8t.core.types import DECISIONS, Decision
from so8t.decide.policy import DomainPolicy, Marker, Policy, Rule
from so8t.decide.policy_sections import MINIMA, SETTLES, FourEyes, ReviewPolicy

Kind = Literal["same", "tighter", "other"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in words; harmless = it cannot let anything more through."""

    text: str
    harmless: bool


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """same = the same bytes; tighter = every difference is harmless; other = the rest."""

    kind: Kind
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        rows = [{"text": d.text, "harmless": d.harmless} for d in self.differences]
        return {"kind": self.kind, "differences": rows}


def change(old: Policy, new: Policy) -> PolicyChange:
    """Compare what the files say, not their bytes; a difference in layout or comments alone is `tighter` and empty."""
    if old.digest == new.digest:
        return PolicyChange("same", ())
    found = (
        *_head(old, new), *_words(old, new), *_rules(old, new), *_answer(old, new), *_review(old, new),
        *_reading(old, new),
    )  # fmt: skip
    return PolicyChange("tighter" if all(d.harmless for d in found) else "other", found)


def _head(old: Policy, new: Policy) -> Iterable[Difference]:
    for name in ("version", "label", "disclosure_rules"):
        yield from _value(name, getattr(old, name), getattr(new, name), harmless=True)
    for name in ("id", "org_name", "default_clearance"):
        yield from _value(name, getattr(old, name), getattr(new, name))
    yield from _value("levels", old.levels.names, new.levels.names)
    yield from _value("markers", _markers(old.markers), _markers(new.markers))
    for judged in DECISIONS:
        for true in DECISIONS:
            yield from _value(f"costs.{judged}.{true}", old.costs[judged][true], new.costs[judged][true])
    for name in ("weights", "minimum_confidence", "maximum_disagreement", "danger_allowed"):
        yield from _value(f"fusion.{name}", getattr(old.fusion, name), getattr(new.fusion, name))
    yield from _entries("thresholds", old.thresholds, new.thresholds, str)
    yield from _entries("domains", old.domains, new.domains, _domain_form)
    for domain in old.domains.keys() & new.domains.keys():
        refs = old.domains[domain].policy_refs, new.domains[domain].policy_refs
        yield from _value(f"domains.{domain}.policy_refs", *refs, harmless=True)
    if old.complete and not new.complete:
        yield Difference("[end] がなくなった / [end] is gone", False)


def _words(old: Policy, new: Policy) -> Iterable[Difference]:
    """Only told here: whether a word matters shows in the rules that use it."""
    for name in sorted(old.words.keys() | new.words.keys()):
        before, after = old.words.get(name, ()), new.words.get(name, ())
        added, removed = [w for w in after if w not in before], [w for w in before if w not in after]
        if added or removed:
            yield Difference(f"words.{name}: +{' '.join(added) or '-'} / -{' '.join(removed) or '-'}", True)


def _rules(old: Policy, new: Policy) -> Iterable[Difference]:
    before, after = {r.id: r for r in old.rules}, {r.id: r for r in new.rules}
    for id in before.keys() - after.keys():
        yield Difference(f"規則 {id} がなくなった / rule removed", False)
    for id, rule in after.items():
        if id not in before:
            yield Difference(f"規則 {id}({rule.effect})が加わった / rule added", _only_stricter(rule, new.review))
        elif _rule_form(before[id]) != _rule_form(rule):
            yield Difference(f"規則 {id} の条件か効果が変わった / rule changed", False)
        elif before[id].reason != rule.reason or before[id].policy_ref != rule.policy_ref:
            yield Difference(f"規則 {id} の文言が変わった / rule's words changed", True)
    handing = [r.id for r in new.rules if r.effect is Decision.ESCALATE]
    known = [r.id for r in old.rules if r.effect is Decision.ESCALATE and r.id in after]
    if handing[: len(known)] != known:  # the first one found names the escalation target
        yield Difference("ESCALATE の規則の順が変わった / order of ESCALATE rules changed", False)


def _only_stricter(rule: Rule, review: ReviewPolicy) -> bool:
    """A hard floor, and not a way round the reviewers that other targets are restricted to."""
    restricted = bool(review.targets) and rule.escalation_target is not None
    return rule.hard and not (restricted and not review.reviewers_of(rule.escalation_target))


def _answer(old: Policy, new: Policy) -> Iterable[Difference]:
    yield from _set(
        "answer.forbidden",
        {f.pattern.source for f in old.answer.forbidden},
        {f.pattern.source for f in new.answer.forbidden},
    )
    before, after = set(old.answer.canaries), set(new.answer.canaries)
    if before - after:
        yield Difference(f"answer.canaries: -{len(before - after)}", False)
    if after - before:
        yield Difference(f"answer.canaries: +{len(after - before)}", True)


def _review(old: Policy, new: Policy) -> Iterable[Difference]:
    hours = old.review.deadline_hours, new.review.deadline_hours
    yield from _value("review.deadline_hours", *hours, harmless=hours[1] < hours[0])
    settles = tuple(SETTLES.index(p.review.settles) for p in (old, new))
    yield from _value("review.settles", old.review.settles, new.review.settles, harmless=settles[1] < settles[0])
    yield from _entries("review.targets", old.review.targets, new.review.targets, sorted)
    before, after = set(map(_eyes_form, old.review.four_eyes)), set(map(_eyes_form, new.review.four_eyes))
    yield from _set("review.four_eyes", before, after)


def _reading(old: Policy, new: Policy) -> Iterable[Difference]:
    """A floor that binds earlier, and a document that is taken to be more secret."""
    for name in (*MINIMA, "raise_levels"):
        before, after = getattr(old.reading, name), getattr(new.reading, name)
        yield from _value(f"reading.{name}", before, after, harmless=after > before)


def _value(name: str, old: Any, new: Any, *, harmless: bool = False) -> Iterable[Difference]:
    if old != new:
        yield Difference(f"{name}: {_short(old)} -> {_short(new)}", harmless)


def _entries(
    name: str, old: Mapping[Any, Any], new: Mapping[Any, Any], form: Callable[[Any], Any]
) -> Iterable[Difference]:
    for key in [*old, *(k for k in new if k not in old)]:
        if key not in new:
            yield Difference(f"{name}.{key} がなくなった / removed", False)
        elif key not in old:
            yield Difference(f"{name}.{key} が加わった / added", False)
        elif form(old[key]) != form(new[key]):
            yield Difference(f"{name}.{key}: {_short(form(old[key]))} -> {_short(form(new[key]))}", False)


def _set(name: str, old: set[Any], new: set[Any]) -> Iterable[Difference]:
    for value in sorted(new - old, key=str):
        yield Difference(f"{name}: +{_short(value)}", True)
    for value in sorted(old - new, key=str):
        yield Difference(f"{name}: -{_short(value)}", False)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _markers(markers: tuple[Marker, ...]) -> list[tuple[str, str]]:
    return [(m.pattern.source, m.level) for m in markers]


def _domain_form(domain: DomainPolicy) -> Hashable:
    """What the model is told, whom a request goes to, how sure one must be; policy_refs are only cited."""
    told = domain.role, domain.scope, domain.limitations, domain.escalation_policy
    return *told, domain.escalation_target, domain.minimum_confidence


def _rule_form(rule: Rule) -> Hashable:
    """What a rule does, without its words for people."""
    all_of, none_of = ([p.source for p in patterns] for patterns in (rule.all, rule.none))
    place = rule.scope, rule.domains, rule.escalation_target
    return rule.effect, rule.hard, rule.weight, tuple(all_of), tuple(none_of), *place


def _eyes_form(eyes: FourEyes) -> Hashable:
    return tuple(tuple(sorted(names)) for names in (eyes.levels, eyes.domains, eyes.rules))
