"""承認待ち: what waits for this reviewer, with everything a careful decision needs on one page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import RedirectResponse, Response

from so8t.core.errors import RecordInvalid
from so8t.core.types import Decision, Excerpt
from so8t.decide.policy import CLEARANCE_RULE, READING_RULE, UNREADABLE_RULE
from so8t.decide.views import View, clearest
from so8t.operate.console.exchange import turns
from so8t.operate.console.pictures import picture, shown
from so8t.operate.console.visit import Visit
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.mail.making import LEVEL_RULE, OUTSIDE_RULE
from so8t.operate.review.case import ReviewCase
from so8t.operate.review.draft import draft_of
from so8t.operate.review.queue import MAX_ANSWER, MAX_COMMENT, ReviewQueue
from so8t.report.figures import Words

NEAREST, LEAST_LIKENESS = 5, 0.05
REVIEWED = "review-"  # how the queue names the precedents that people set (ReviewQueue.precedent)
SOON = 2 * 3600.0  # seconds before the deadline at which a case is marked
BUILT_IN = {
    CLEARANCE_RULE: Words("情報の区分が依頼者の権限より上です。", "The material lies above the asker's clearance."),
    READING_RULE: Words(
        "画像または音声を読み取った確度が、方針の下限に届きません。",
        "An image or recording was read with less confidence than the policy asks for.",
    ),
    UNREADABLE_RULE: Words("読み解けない符号が残っています。", "Some of it could not be decoded."),
    OUTSIDE_RULE: Words("宛先に、社外の人がいます。", "Somebody outside the company is among the recipients."),
    LEVEL_RULE: Words("メールで送ってよい区分より上です。", "The material lies above what mail may carry."),
    # Of every agent (judge/narrowing.py) and of tools (operate/tools/calling.py).
    "highest": Words("情報の区分が、窓口の扱う上限より上です。", "The material lies above what the agent is for."),
    "changes": Words("何かを変える道具です。", "The tool changes something."),
}


@dataclass(frozen=True, slots=True)
class Precedent:
    """A like case of the past. `text` is None where this reviewer may not read it."""

    id: str
    decision: Decision
    by: str
    likeness: float
    text: str | None
    seq: int | None


async def listed(visit: Visit) -> Response:
    """Due first on top; below, what this reviewer decided lately."""
    reviews, name = visit.running.reviews, visit.identity.name
    now = reviews.now()
    waiting = [(case, _left(case, now)) for case in await reviews.waiting_for(visit.identity)]
    mine = [
        (case, vote, case.status(now)) for case in await reviews.cases() for vote in case.votes if vote.reviewer == name
    ]
    return visit.page("reviews", "review", waiting=waiting, mine=mine[:20], soon=SOON)


async def one(visit: Visit) -> Response:
    """Raises NotPermitted, ReviewClosed, RecordInvalid."""
    return await _case_page(visit, await visit.running.reviews.case(visit.seq))


async def image(visit: Visit) -> Response:
    """A page of an image of a case. Raises NotPermitted, ReviewClosed, RecordInvalid."""
    case = await visit.running.reviews.case(visit.seq)
    visit.running.reviews.may_read(case, visit.identity)
    entry = await asyncio.to_thread(visit.running.reader.entry, case.seq)
    assert entry is not None
    return await picture(visit, entry)


async def decide(visit: Visit) -> Response:
    """A refused form comes back with what was written in it."""
    reviews, form = visit.running.reviews, visit.form
    comment, answer = form.one("comment", 2 * MAX_COMMENT).strip(), form.one("answer", 2 * MAX_ANSWER).strip()
    decision = form.one("decision", 10)
    try:
        if decision not in ("ALLOW", "DENY"):
            raise RecordInvalid(where="decision", detail="ALLOW / DENY")
        await reviews.decide(visit.seq, visit.identity, Decision(decision), comment, answer)
    except RecordInvalid as error:
        case = await reviews.case(visit.seq)
        return await _case_page(visit, case, 400, error=error, comment=comment, answer=answer)
    return RedirectResponse(f"/console/review/{visit.seq}", 303)


async def assign(visit: Visit) -> Response:
    case = await visit.running.reviews.case(visit.seq)
    visit.running.reviews.may_read(case, visit.identity)
    await visit.running.reviews.assign(visit.seq, visit.form.one("target", 200), visit.identity)
    return RedirectResponse("/console/review", 303)


async def _case_page(visit: Visit, case: ReviewCase, code: int = 200, **written: Any) -> Response:
    reviews, policy = visit.running.reviews, visit.running.policy.policy
    texts = await reviews.read(case, visit.identity)
    entry = await asyncio.to_thread(visit.running.reader.entry, case.seq)
    assert entry is not None
    query, now = texts.get("query"), reviews.now()
    reading: View | None = clearest(query) if query is not None else None
    voted = any(vote.reviewer == visit.identity.name for vote in case.votes)
    known = {place.escalation_target for place in policy.domains.values()} | set(policy.review.targets)
    written = {"error": None, "comment": "", "answer": ""} | written
    return visit.page(
        "review", "review", code, case=case, state_now=case.status(now), left=_left(case, now), soon=SOON, query=query,
        reading=reading if reading is not None and reading.changed else None,
        history=turns(texts.get("history", "[]")), fused=entry.data.get("probabilities"), draft=draft_of(texts),
        documents=[Excerpt(*one) for one in json.loads(texts.get("documents", "[]"))],
        rules=[(name, *_rule(visit, name)) for name in case.rules], votes=await _votes(reviews, case),
        pictures=shown(visit, entry.data, texts),
        precedents=await _precedents(visit, reading.text) if reading is not None else [],
        levels=_matrix(policy.levels.names, case, visit.identity), closed=voted or not case.is_open(now),
        targets=sorted(known - {case.target}), longest=(MAX_COMMENT, MAX_ANSWER), head=entry.head, **written,
    )  # fmt: skip


def _left(case: ReviewCase, now: datetime) -> float:
    return (datetime.fromisoformat(case.deadline) - now).total_seconds()


def _rule(visit: Visit, name: str) -> tuple[Words, Decision | None, bool]:
    """A rule's reason, effect and whether it is hard; by the policy in force, as the ledger keeps only its id.

    AGENT:RULE is of an agent's own policy, or built into every agent (judge/narrowing.py).
    """
    agent, _, own = name.rpartition(":")
    narrowing = visit.running.gateway.agents.get(agent)
    policy = narrowing.policy if narrowing else None if agent else visit.running.policy.policy
    if policy is not None and (rule := policy.rule(own)) is not None:
        return Words(rule.reason), rule.effect, rule.hard
    if agent:
        name = own
    gone = Words("今の方針にはない規則です。", "The policy in force has no such rule.")
    return BUILT_IN.get(name, gone), None, name in BUILT_IN


async def _votes(reviews: ReviewQueue, case: ReviewCase) -> list[tuple[Any, Mapping[str, str]]]:
    return [(vote, await reviews.texts(vote.seq)) for vote in case.votes]


async def _precedents(visit: Visit, query: str) -> list[Precedent]:
    """What the precedent judge would be reminded of now. What people decided here is shown only to whom it concerns."""
    near = visit.running.gateway.judge.precedents.nearest(query, NEAREST)
    found = []
    for past, likeness in near:
        if likeness < LEAST_LIKENESS:
            continue
        here = await visit.running.reviews.taught_by(past.id)
        # One of another ledger, that came with the bundle, is nobody's here.
        open_to_all = not past.id.startswith(REVIEWED)
        text = past.query if open_to_all or (here is not None and _concerns(visit, here)) else None
        found.append(Precedent(past.id, past.decision, past.by, likeness, text, here.seq if here else None))
    return found


def _concerns(visit: Visit, case: ReviewCase) -> bool:
    """Whether a decided case lay within what this reviewer may read: his targets and his clearance."""
    who = visit.identity
    names = {who.name, *(f"@{group}" for group in who.groups)}
    if Role.REVIEWER not in who.roles or (case.reviewers and names.isdisjoint(case.reviewers)):
        return False
    levels = visit.running.policy.policy.levels
    return case.classification is None or levels.gap(who.clearance, case.classification) <= 0


def _matrix(names: Sequence[str], case: ReviewCase, who: Identity) -> list[tuple[str, bool, bool, bool]]:
    """(level, asker's clearance, the material's level, the reviewer's clearance), the highest level on top."""
    held = (case.clearance, case.classification, who.clearance)
    return [(name, *(name == level for level in held)) for name in reversed(names)]  # type: ignore[misc]
