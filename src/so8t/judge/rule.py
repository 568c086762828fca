"""The rule judge: every rule of the policy on every view of the request, and who may see what. No model, no I/O."""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from so8t.core.text import sentences
from so8t.core.types import DECISIONS, Attachment, Decision, Domain, Floor, Opinion, Request
from so8t.decide.clearance import clearance_opinion
from so8t.decide.patterns import REACH, Pattern, pieces
from so8t.decide.policy import CLEARANCE_RULE, READING_RULE, UNREADABLE_RULE, Policy, Rule
from so8t.decide.views import View, views

# Log-odds of a floor: its decision then has a probability of 0.96. Soft rules together stay below it.
HARD_LOG_ODDS = 4.0
SOFT_LOG_ODDS = 3.0
_END = re.compile(r"[。！？!?\n](?:(?<!\n)[。！？!?]*[」』）)]*)?")  # of a sentence, as core.text.sentences has it
UNREADABLE_REASON = "読み解けない符号が残っているため、人が確かめます。"
READING_REASON = "画像または音声を読み取った確度が低いため、人が確かめます。"
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
    found: dict[int, Match] = {}
    sentences_seen: dict[str, _Stretch] = {}
    for view in readings:
        search = _Search(view.text, sentences_seen)
        for number, places in policy.candidates(view.text).items():
            rule = policy.rules[number]
            if number not in found and rule.concerns(domain) and search.holds(rule, places):
                found[number] = Match(rule, view.kind)
    return tuple(found[number] for number in sorted(found))


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
    known = [*request.floors, *_doubts(request, policy)]
    floors += [one.decision for one in known]
    ids += [one.rule for one in known]
    if not ids:
        return Opinion("rule", ms=_since(began))
    floor = max(floors, key=lambda d: d.severity, default=None)
    probabilities = _probabilities(matches, floors)
    decision = max(DECISIONS, key=lambda d: (probabilities[d], d.severity))
    by_level = clearance is not None and clearance.decision is decision
    reason = clearance.reason if clearance and by_level else _reason(decision, matches, known)
    return Opinion("rule", decision, probabilities, tuple(ids), reason, _since(began), floor=floor)


def _doubts(request: Request, policy: Policy) -> Iterator[Floor]:
    """A floor for what was hardly readable of the images and recordings that came with it."""
    if any(_doubtful(one, policy) for one in request.attachments):
        yield Floor(READING_RULE, Decision.ESCALATE, READING_REASON)


def _doubtful(attachment: Attachment, policy: Policy) -> bool:
    """One of which nothing was read is."""
    pages = attachment.pages
    return not pages or any(policy.reading.doubts(page.confidence, page.engine) for page in pages)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000.0


class _Search:
    """One view being searched; a sentence that an earlier view had as well is not searched again."""

    __slots__ = ("_bounds", "_seen", "_whole")

    def __init__(self, text: str, seen: dict[str, _Stretch]) -> None:
        self._whole = _Stretch(text)
        self._seen = seen
        self._bounds: list[int] | None = None

    def holds(self, rule: Rule, places: Sequence[int]) -> bool:
        """Whether all and none of a rule hold in the text, or in a sentence at one of the places ([] = in any)."""
        if rule.scope == "text":
            return self._whole.holds(rule)
        return any(stretch.holds(rule) for sentence in self._at(places) for stretch in self._stretches(sentence))

    def _at(self, places: Sequence[int]) -> Iterable[str]:
        text = self._whole.text
        if not places:
            return sentences(text)
        if self._bounds is None:
            self._bounds = [0, *(m.end() for m in _END.finditer(text)), len(text)]
        bounds = self._bounds
        numbers = {bisect_right(bounds, place, 0, len(bounds) - 1) for place in places}
        return [text[bounds[number - 1] : bounds[number]].strip() for number in numbers]

    def _stretches(self, sentence: str) -> Iterator[_Stretch]:
        for piece in (sentence,) if len(sentence) <= REACH else pieces(sentence):
            if (stretch := self._seen.get(piece)) is None:
                stretch = self._seen[piece] = _Stretch(piece)
            yield stretch


class _Stretch:
    """A stretch of text. Rules share word lists, so what was searched once is remembered."""

    __slots__ = ("_known", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[Pattern, bool] = {}

    def holds(self, rule: Rule) -> bool:
        return all(map(self._found, rule.all)) and not any(map(self._found, rule.none))

    def _found(self, pattern: Pattern) -> bool:
        if (known := self._known.get(pattern)) is None:
            known = self._known[pattern] = pattern.found(self.text)
        return known


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


def _reason(decision: Decision, matches: Sequence[Match], known: Sequence[Floor]) -> str:
    """The reason of the strongest rule for the decision, and which view it was found in if not the text as written;
    where none speaks, what is known beside the words, or that they cannot be read."""
    speaking = [m for m in matches if m.rule.effect is decision]
    if not speaking:
        return next((one.reason for one in known if one.decision is decision), UNREADABLE_REASON)
    best = max(speaking, key=lambda m: (m.rule.hard, m.rule.weight))
    name = _VIEW_NAMES.get(best.view)
    return best.rule.reason + (f"({name}で一致)" if name else "")
