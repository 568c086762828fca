"""What an agent adds to the office's judgement: floors of its own, and nothing else. It never lowers anything.

The office's verdict is made first, exactly as without an agent (so the card still says what it measured); what the
agent's own policy demands by a hard rule, and the highest level the agent is for, are a floor under it. So the verdict
under an agent is the office's, or a stricter one, whatever either policy says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from so8t.core.errors import LevelUnknown
from so8t.core.types import Decision, Opinion, Request, Turn, Verdict
from so8t.decide.clearance import touched
from so8t.decide.combine import raised
from so8t.decide.policy import Policy
from so8t.decide.policy_sections import ForbiddenTerm
from so8t.judge.conversation import kept, whole_opinion
from so8t.judge.rule import rule_opinion

JUDGE = "agent"
HIGHEST = "highest"  # the built-in rule of a narrowing: material above what the agent is for


@dataclass(frozen=True, slots=True)
class Narrowing:
    """An agent as the judges see it. policy None = the office's alone; highest None = no level of its own.

    contract, instructions: who the model is when it answers (plan 3.2 identity_contract). They are no part of what the
    model is asked when it judges: that prompt is the one the card was measured with.
    """

    name: str
    digest: str
    policy: Policy | None = None
    highest: str | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)
    instructions: str = ""

    @property
    def forbidden(self) -> tuple[ForbiddenTerm, ...]:
        """What no answer of this agent may hold, beside what the office forbids."""
        return self.policy.answer.forbidden if self.policy else ()

    @property
    def characters(self) -> int:
        """How much of the model's window who it is takes."""
        return len(self.instructions) + sum(len(str(value)) for value in self.contract.values())

    def narrowed(self, verdict: Verdict, request: Request, office: Policy) -> Verdict:
        """The office's verdict, or the stricter one that the agent demands."""
        return with_floor(verdict, self.opinion(request, office), office)

    def opinion(self, request: Request, office: Policy) -> Opinion:
        """A floor, or none. It has no probabilities: an agent takes no part in the fusion that was calibrated."""
        began = time.perf_counter()
        try:
            found = [*self._above(request, office), *self._own(request, office)]
        except Exception as error:  # whatever it is, a human decides
            found = [replace(self._floor(Decision.ESCALATE, ("failed",), f"障害 {type(error).__name__}"), failed=True)]
        ms = (time.perf_counter() - began) * 1000
        strictest = max(found, key=lambda one: one.floor.severity if one.floor else 0, default=Opinion(JUDGE))
        return replace(strictest, rules=tuple(rule for one in found for rule in one.rules), ms=ms)

    def kept(self, request: Request, office: Policy) -> tuple[Turn, ...]:
        """The earlier turns that may be context under the agent's policy as well."""
        return kept(in_levels_of(request, office, self.policy), self.policy) if self.policy else request.history

    def _above(self, request: Request, office: Policy) -> Iterator[Opinion]:
        """A floor for material above what the agent is for."""
        level = touched(request, office) if self.highest is not None else None
        if self.highest is not None and level is not None and office.levels.gap(self.highest, level) > 0:
            reason = f"区分「{level}」は、この窓口が扱う「{self.highest}」より上です。"
            yield self._floor(Decision.ESCALATE, (HIGHEST,), reason)

    def _own(self, request: Request, office: Policy) -> Iterator[Opinion]:
        """The floor of the agent's own hard rules. No domain chooses among them: all speak, as for a request whose
        domain nobody told."""
        if (policy := self.policy) is None:
            return
        asked = replace(in_levels_of(request, office, policy), domain=None)
        own = whole_opinion(rule_opinion(asked, policy), asked, policy)
        if own.floor is not None:
            hard = tuple(id for id in own.rules if (rule := policy.rule(id)) is None or rule.hard)
            yield self._floor(own.floor, hard, f"この窓口の規則により確定: {own.reason}")

    def _floor(self, floor: Decision, rules: tuple[str, ...], reason: str) -> Opinion:
        """Its rules go by the agent's name, for the office's policy may have others of the same id."""
        return Opinion(JUDGE, floor, rules=tuple(f"{self.name}:{id}" for id in rules), reason=reason, floor=floor)


def with_floor(verdict: Verdict, opinion: Opinion, office: Policy) -> Verdict:
    """The verdict with one more opinion: never milder than before, and never milder than the opinion's floor."""
    opinions = (*verdict.opinions, opinion)
    rules = tuple(dict.fromkeys((*verdict.rules, *opinion.rules)))
    floor = opinion.floor
    if floor is None or floor.severity <= verdict.decision.severity:
        return replace(verdict, opinions=opinions, rules=rules)
    place = office.domain(verdict.domain)
    return replace(
        verdict, decision=floor, probabilities=raised(verdict.probabilities, floor), opinions=opinions, rules=rules,
        reason=opinion.reason, policy_ref=place.policy_refs[floor],
        escalation_target=place.escalation_target if floor is Decision.ESCALATE else None,
    )  # fmt: skip


def in_levels_of(request: Request, office: Policy, policy: Policy) -> Request:
    """The request with its levels by another policy's names, of the same rank. Raises LevelUnknown."""
    names, rank = policy.levels.names, office.levels.rank
    if len(names) != len(office.levels.names):
        raise LevelUnknown(detail=f"{len(names)} levels, the office has {len(office.levels.names)}")
    touched = request.classification
    return replace(
        request, clearance=names[rank(request.clearance)], classification=names[rank(touched)] if touched else None
    )
