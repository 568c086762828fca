"""The rule judge: every rule of the policy on every view of the request, and who may see what. No model, no I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from so8t.core.text import sentences
from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request
from so8t.decide.clearance import clearance_opinion
from so8t.decide.policy import CLEARANCE_RULE, UNREADABLE_RULE, Policy, Rule
from so8t.decide.views import View, views

# Log-odds of a floor: its decision then has a probability of 0.96. Soft rules together stay below it.
HARD_LOG_ODDS = 4.0
SOFT_LOG_ODDS = 3.0
# Texts are searched piece by piece, so that no regex takes more than linear time in the length of a text.
PIECE = 1000
OVERLAP = 200
UNREADABLE_REASON = "読み解けない符号が残っているため、人が確かめます。"
_VIEW_NAMES = {
    "normal": "表記をそろえた文",
    "decoded": "復号した文",
    "joined": "分かち書きをつないだ文",
    "kana": "ひらがなに直した文",
    "romaji": "ローマ字をかなに直した文",
}


@dataclass(frozen=True, slots=True)
class Match:
    """A rule, and the first view in which it was found."""

    rule: Rule
    view: str


def matched_rules(readings: Sequence[View], policy: Policy, domain: Domain | None = None) -> tuple[Match, ...]:
    """Rules found in any view, each once, in the order of the policy."""
    found: dict[str, Match] = {}
    for view in readings:
        for rule in policy.candidates(view.text):
            if rule.id not in found and rule.concerns(domain) and _found(rule, view.text):
                found[rule.id] = Match(rule, view.kind)
    return tuple(found[rule.id] for rule in policy.rules if rule.id in found)


def rule_opinion(request: Request, policy: Policy) -> Opinion:
    """The rules' opinion; it abstains where none is found. Raises LevelUnknown for a level the policy does not name.

    The floor is the severest hard effect. The decision is the most probable one, never below the floor.
    """
    began = time.perf_counter()
    readings = views(request.query)
    matches = matched_rules(readings, policy, request.domain)
    clearance = clearance_opinion(request, readings, policy)
    unreadable = not all(view.complete for view in readings)
    floors = [m.rule.effect for m in matches if m.rule.hard]
    ids = [m.rule.id for m in matches]
    if clearance:
        floors.insert(0, clearance.decision)
        ids.insert(0, CLEARANCE_RULE)
    if unreadable:
        floors.append(Decision.ESCALATE)
        ids.append(UNREADABLE_RULE)
    if not ids:
        return Opinion("rule", ms=_since(began))
    floor = max(floors, key=lambda d: d.severity, default=None)
    probabilities = _probabilities(matches, floors)
    decision = max(DECISIONS, key=lambda d: (probabilities[d], d.severity))
    if clearance and clearance.decision is decision:
        reason = clearance.reason
    else:
        reason = _reason(decision, matches)
    return Opinion("rule", decision, probabilities, tuple(ids), reason, _since(began), floor=floor)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000.0


def _found(rule: Rule, text: str) -> bool:
    return any(_holds(rule, unit) for unit in _units(rule, text))


def _units(rule: Rule, text: str) -> Iterator[str]:
    """The stretches of text within which all of a rule must be found."""
    if rule.scope == "text" or len(text) <= OVERLAP and not _has_end(text):
        yield text
        return
    for sentence in sentences(text):
        yield from _pieces(sentence)


def _has_end(text: str) -> bool:
    return any(mark in text for mark in "。！？!?\n")


def _holds(rule: Rule, unit: str) -> bool:
    pieces = list(_pieces(unit))
    return all(any(p.found(piece) for piece in pieces) for p in rule.all) and not any(
        p.found(piece) for p in rule.none for piece in pieces
    )


def _pieces(text: str) -> Iterator[str]:
    """Overlapping stretches of at most PIECE characters."""
    yield text[:PIECE]
    for start in range(PIECE - OVERLAP, len(text) - OVERLAP, PIECE - OVERLAP):
        yield text[start : start + PIECE]


def _probabilities(matches: Sequence[Match], floors: Sequence[Decision]) -> Mapping[Decision, float]:
    """Softmax of summed log-odds, uniform where nothing speaks; nothing milder than a floor keeps weight of its own."""
    odds = dict.fromkeys(DECISIONS, 0.0)
    for match in matches:
        if not match.rule.hard:
            odds[match.rule.effect] = min(SOFT_LOG_ODDS, odds[match.rule.effect] + match.rule.weight)
    if floors:
        floor = max(floors, key=lambda d: d.severity)
        odds = {d: min(odds[d], 0.0) if d.severity < floor.severity else odds[d] for d in DECISIONS}
        odds[floor] = HARD_LOG_ODDS
    weights = {d: math.exp(odds[d]) for d in DECISIONS}
    total = sum(weights.values())
    return {d: weight / total for d, weight in weights.items()}


def _reason(decision: Decision, matches: Sequence[Match]) -> str:
    """The reason of the strongest rule for the decision, and which view it was found in if not the text as written."""
    speaking = [m for m in matches if m.rule.effect is decision]
    if not speaking:
        return UNREADABLE_REASON
    best = max(speaking, key=lambda m: (m.rule.hard, m.rule.weight))
    name = _VIEW_NAMES.get(best.view)
    return best.rule.reason + (f"({name}で一致)" if name else "")
