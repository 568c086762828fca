"""What was said before a request: which of it may be context, and what only the whole conversation asks for.

A client sends the history along, so every turn of it may be made up, an earlier answer of ours too. What the rules
would not have allowed then is no context now. A request cut into harmless pieces over several turns is read as one; as
that is a guess about intent, it goes to a human and is never refused outright.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from so8t.core.types import Decision, Domain, Opinion, Request, Turn
from so8t.decide.policy import Policy
from so8t.judge.rule import rule_opinion

JOINED_CHARACTERS = 2000  # of the newest turns, and of the request, read as one text
JOINED_TURNS = 20
REMEMBERED_CHARACTERS = 4000  # longer turns are judged anew each time: memory is for the many short ones
REASON = "会話を通して読むと、人の判断が要ります。"


def kept(request: Request, policy: Policy) -> tuple[Turn, ...]:
    """The earlier turns that may be context, and with a turn that may not, the answers to it."""
    turns: list[Turn] = []
    answered = True
    for turn in request.history:
        opinion = _opinion(turn.text, request.clearance, request.domain, policy)
        if turn.role == "assistant":
            fine = answered and opinion.floor is None
        else:
            fine = answered = opinion.decision in (None, Decision.ALLOW)
        if fine:
            turns.append(turn)
    return tuple(turns)


def whole_opinion(own: Opinion, request: Request, policy: Policy) -> Opinion:
    """The rules' opinion of the request, and of all that the asker said, at most ESCALATE beyond the first."""
    said = [turn.text for turn in request.history if turn.role != "assistant"]
    if not said or own.failed:
        return own
    if own.decision not in (None, Decision.ALLOW):
        return own
    before, now = said[-JOINED_TURNS:], request.query[:JOINED_CHARACTERS]
    # Line by line, and run together: a sentence may have been cut between two turns.
    texts = (mark.join(before)[-JOINED_CHARACTERS:] + mark + now for mark in ("\n", ""))
    opinions = (_opinion(text, request.clearance, request.domain, policy) for text in texts)
    floor = next((opinion for opinion in opinions if opinion.floor is not None), None)
    if floor is None:
        return own
    mild = {Decision.ALLOW: 0.0, Decision.ESCALATE: 1.0, Decision.DENY: 0.0}
    rules = tuple(dict.fromkeys((*own.rules, *floor.rules)))
    return dataclasses.replace(
        own, decision=Decision.ESCALATE, probabilities=mild, rules=rules, reason=REASON, floor=Decision.ESCALATE
    )


def _opinion(text: str, clearance: str, domain: Domain | None, policy: Policy) -> Opinion:
    """A conversation comes back with every turn: what was judged once under this policy is remembered."""
    if len(text) > REMEMBERED_CHARACTERS:
        return rule_opinion(Request("history", text, clearance, None, domain), policy)
    return _remembered(text, clearance, domain, _ByDigest(policy))


@dataclasses.dataclass(frozen=True, slots=True)
class _ByDigest:
    """A policy that equals another of the same digest: what a cache may hold it by."""

    policy: Policy = dataclasses.field(compare=False)
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self.policy.digest)


@lru_cache(maxsize=2048)
def _remembered(text: str, clearance: str, domain: Domain | None, by: _ByDigest) -> Opinion:
    return rule_opinion(Request("history", text, clearance, None, domain), by.policy)
