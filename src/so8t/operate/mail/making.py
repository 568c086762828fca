"""Mail drafts through the gateway, as a task of the asker's (SPEC O7).

A draft that goes outside the company, or whose level is above what mail may carry inside it, is for a person to decide
about: a floor of the request, or of the finished text where only that shows it. The person is shown the very text that
the asker gets once it is allowed. Nothing is ever sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from uuid import uuid4

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import MailConfig
from so8t.core.types import Decision, Domain, Excerpt, Floor, Request, Verdict, canonical_json
from so8t.decide.clearance import highest, level_of
from so8t.decide.heading import level_alone
from so8t.decide.policy import Policy
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answer, Answering, AnswerOptions
from so8t.operate.identity.identity import Identity
from so8t.operate.mail.drafting import draft, question
from so8t.operate.mail.order import Order

TASK = "mail"
TOKENS = 512
OUTSIDE_RULE, LEVEL_RULE = "mail.outside", "mail.level"


def request(
    identity: Identity, order: Order, classification: str | None, policy: Policy, config: MailConfig
) -> Request:
    """Raises LevelUnknown."""
    marked = (level_of(order.query(), policy), level_of(order.reply, policy), level_alone(order.reply, policy))
    level = highest((classification, *marked), policy)
    reply = (Excerpt("reply", "返信する相手のメール", level or policy.levels.names[0], order.reply),)
    return Request(
        f"req-{uuid4().hex}", order.query(), identity.clearance, level, None, identity.name, (),
        reply if order.reply else (), floors=floors(order, level, policy, config), task=TASK,
        order=canonical_json(order.to_json()),
    )  # fmt: skip


def floors(order: Order, level: str | None, policy: Policy, config: MailConfig) -> tuple[Floor, ...]:
    """What a person has to decide about, whatever the words are."""
    found = list[Floor]()
    if outside := order.outside(config.domains):
        names = "、".join(one.address for one in outside[:3]) + (" ほか" if len(outside) > 3 else "")
        found.append(Floor(OUTSIDE_RULE, Decision.ESCALATE, f"宛先が社外です({names})。"))
    highest = highest_inside(policy, config)
    if level is not None and policy.levels.gap(highest, level) > 0:
        why = f"区分「{level}」は、メールで送ってよい区分「{highest}」より上です。"
        found.append(Floor(LEVEL_RULE, Decision.ESCALATE, why))
    return tuple(found)


def highest_inside(policy: Policy, config: MailConfig) -> str:
    """The level that mail within the company may carry: as configured, else the second lowest.

    Raises ConfigValueInvalid for a level that the policy does not name.
    """
    names = policy.levels.names
    if config.highest and config.highest not in names:
        raise ConfigValueInvalid(where="serve.mail.highest", detail=f"{config.highest!r} ({' < '.join(names)})")
    return config.highest or names[min(1, len(names) - 1)]


@dataclass(frozen=True, slots=True)
class MailWork:
    """The gateway's work of the task "mail", and its draft for the person who decides."""

    answering: Answering
    config: MailConfig

    async def __call__(self, asked: Request, domain: Domain | None, judge: TripleJudge) -> Answer:
        return await self._made(asked, domain, judge, True)

    async def draft(self, asked: Request, verdict: Verdict, judge: TripleJudge) -> Answer:
        """The model has no part in it where anything but our own floors spoke against the request: nobody has allowed
        yet that it is asked."""
        return await self._made(asked, verdict.domain, judge, _floors_alone(asked, verdict))

    async def _made(self, asked: Request, domain: Domain | None, judge: TripleJudge, ask: bool) -> Answer:
        order = Order.from_json(json.loads(asked.order))
        written = await self._written(asked, order, domain, judge) if ask and order.words else ""
        made = draft(order, written, bool(order.outside(self.config.domains)))
        found = highest((asked.classification, level_of(made.text(), judge.policy)), judge.policy)
        more = floors(order, found, judge.policy, self.config)
        known = {one.rule for one in asked.floors}
        new = next((one for one in more if one.rule == LEVEL_RULE and one.rule not in known), None)
        told = made.to_json() | {
            "to": [{"address": r.address, "name": r.name, "outside": not r.inside(self.config.domains)}
                   for r in order.recipients],
            "register": order.register.value, "classification": found,
        }  # fmt: skip
        return Answer(made.text(), floor=new, made=told)

    async def _written(self, asked: Request, order: Order, domain: Domain | None, judge: TripleJudge) -> str:
        """The model's body, checked as any answer; "" where it failed or may not leave."""
        one = replace(asked, query=question(order), floors=(), task="", order="")
        answer = await self.answering.whole(one, domain, judge, AnswerOptions(TOKENS))
        return "" if answer.withheld or answer.failed or not answer.stopped else answer.text


def _floors_alone(asked: Request, verdict: Verdict) -> bool:
    """Whether no judge has anything against it but the request's floors."""
    known = {one.rule for one in asked.floors}
    others = (one for one in verdict.opinions if not one.abstains and known.isdisjoint(one.rules))
    return known.issuperset(verdict.rules) and all(one.decision is Decision.ALLOW for one in others)
