"""The rule judge: every rule of the policy on every view of the request, and who may see what. No model, no I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from so8t.core.text import sentences
from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request
from so8t.decide.clearance import clearance_opinion
from so8t.decide.patterns import Pattern, grams
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
        search = _Search(view.text)
        for rule in policy.candidates(search.grams):
            if rule.id not in found and rule.concerns(domain) and search.holds(rule):
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
    reason = clearance.reason if clearance and clearance.decision is decision else _reason(decision, matches)
    return Opinion("rule", decision, probabilities, tuple(ids), reason, _since(began), floor=floor)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000.0


class _Search:
    """One view being searched. Rules share word lists, so what was searched once in a stretch is remembered."""

    __slots__ = ("_sentences", "_whole", "grams")

    def __init__(self, text: str) -> None:
        self.grams = grams(text)
        self._whole = _Stretch(text, self.grams)
        self._sentences: list[_Stretch] | None = None

    def holds(self, rule: Rule) -> bool:
        """Whether all and none of a rule hold in one sentence, or in the text."""
        if rule.scope == "text":
            return self._whole.holds(rule)
        if not all(self._whole.may_hold(pattern) for pattern in rule.all):
            return False
        if self._sentences is None:
            self._sentences = [_Stretch(p, self.grams) for s in sentences(self._whole.text) for p in _pieces(s)]
        return any(stretch.holds(rule) for stretch in self._sentences)


class _Stretch:
    """A stretch of text and which patterns are known to be in it; `present` are the grams of its view."""

    __slots__ = ("_known", "_lower", "_present", "text")

    def __init__(self, text: str, present: Set[str]) -> None:
        lower = text.lower()
        self.text = text
        self._lower = lower if len(lower) == len(text) else None
        self._present = present
        self._known: dict[Pattern, bool] = {}

    def holds(self, rule: Rule) -> bool:
        return all(map(self._found, rule.all)) and not any(map(self._found, rule.none))

    def may_hold(self, pattern: Pattern) -> bool:
        """False only where no part of the stretch can match."""
        return not pattern.local or pattern.heads is None or self._found(pattern)

    def _found(self, pattern: Pattern) -> bool:
        if (known := self._known.get(pattern)) is None:
            known = self._known[pattern] = self._search(pattern)
        return known

    def _search(self, pattern: Pattern) -> bool:
        if pattern.heads is None or self._lower is None:
            return any(map(pattern.found, _pieces(self.text)))
        return pattern.found_at(self.text, self._lower, pattern.heads & self._present)


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
