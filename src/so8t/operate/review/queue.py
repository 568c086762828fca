"""The queue behind ESCALATE: who may decide what, and what becomes of it. All of it is in the ledger and only there.

Several gateways over one ledger see one queue: each reads what the others wrote before it acts, and of two votes that
cross, the ledger's order says which counts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from so8t.core.errors import LevelUnknown, NotPermitted, RecordInvalid, ReviewClosed
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.types import Decision, Domain, Excerpt, Floor, Request, Turn
from so8t.judge.precedent import Asked, Case
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.identity.names import folded
from so8t.operate.intake.kept import KEYS, TEXTS
from so8t.operate.review.case import ReviewCase, Status, after, opened
from so8t.operate.review.draft import draft_of
from so8t.operate.words import tool_allowed

MAX_COMMENT, MAX_ANSWER = 2000, 20_000
PAGE = 1000
KEPT = 20_000  # closed cases in memory; older ones are read from the ledger when somebody asks for them
SWEEP_SECONDS = 30.0


@dataclass(slots=True)
class ReviewQueue:
    """Every handed-over request. Times come from `now`, UTC. `learn` is given each precedent as people set it."""

    gateway: Gateway
    reader: LedgerReader
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    learn: Callable[[Case], None] | None = None
    _cases: dict[int, ReviewCase] = field(default_factory=dict, repr=False)
    _read: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _answering: weakref.WeakValueDictionary[int, asyncio.Lock] = field(
        default_factory=weakref.WeakValueDictionary, repr=False
    )

    # -- reading ------------------------------------------------------------------------------------------------

    async def cases(self) -> list[ReviewCase]:
        """All open ones and the last KEPT closed ones, the newest first."""
        async with self._lock:
            await self._refresh()
        return sorted(self._cases.values(), key=lambda case: -case.seq)

    async def waiting_for(self, reviewer: Identity) -> list[ReviewCase]:
        """What this reviewer may decide now, the one that is due first first."""
        found = [c for c in await self.cases() if self._objection(c, reviewer) is None]
        return sorted(found, key=lambda case: case.deadline)

    async def asked_by(self, asker: str) -> list[ReviewCase]:
        """The newest first, of those that cases() has."""
        return [c for c in await self.cases() if c.asker == asker]

    async def case(self, seq: int) -> ReviewCase:
        """Raises RecordInvalid for what was never handed over."""
        async with self._lock:
            await self._refresh()
            if seq in self._cases:
                return self._cases[seq]
        return await asyncio.to_thread(self._reread, seq)

    async def texts(self, seq: int) -> dict[str, str]:
        """query, history, reply, draft and the like of an entry; those erased are absent."""
        found = await asyncio.to_thread(self.reader.texts, seq)
        return {name: text for name, text in found.items() if name != KEYS}

    # -- deciding -----------------------------------------------------------------------------------------------

    async def decide(
        self, seq: int, reviewer: Identity, decision: Decision, comment: str = "", answer: str = ""
    ) -> ReviewCase:
        """A reviewer's ALLOW or DENY, with a comment for the file and, instead of the model's, an answer in his words.

        Raises NotPermitted (role, clearance, own request, not assigned, decided already), ReviewClosed, RecordInvalid,
        LedgerUnavailable.
        """
        if decision not in (Decision.ALLOW, Decision.DENY):
            raise RecordInvalid(where="decision", detail="ALLOW or DENY")
        if len(comment) > MAX_COMMENT or len(answer) > MAX_ANSWER or (answer and decision == Decision.DENY):
            raise RecordInvalid(where="comment, answer", detail=f"at most {MAX_COMMENT} and {MAX_ANSWER} characters")
        async with self._lock:
            await self._refresh()
            case = self._known(seq)
            if (why := self._objection(case, reviewer)) is not None:
                raise why
            body = {"event": "vote", "case": seq, "actor": reviewer.name, "outcome": decision.value,
                    "request_id": case.request_id}  # fmt: skip
            texts = {name: text for name, text in (("comment", comment), ("answer", answer)) if text}
            await self.gateway.record("review", body, texts)
            await self._refresh()
            return self._known(seq)

    async def assign(self, seq: int, target: str, by: Identity) -> ReviewCase:
        """Hand an open case to another target of the policy: an administrator, or who may decide it himself.

        Raises NotPermitted, RecordInvalid, ReviewClosed.
        """
        by.require(Role.ADMIN, Role.REVIEWER)
        policy = self.gateway.judge.policy
        known = {place.escalation_target for place in policy.domains.values()} | set(policy.review.targets)
        if target not in known:
            raise RecordInvalid(where="target", detail=" / ".join(sorted(known)))
        async with self._lock:
            await self._refresh()
            case = self._known(seq)
            if not case.is_open(self.now()):
                raise ReviewClosed(where=f"seq {seq}")
            if folded(case.asker) == folded(by.name):
                raise NotPermitted(detail=("自分の依頼です", "your own request"))
            reviewers = policy.review.reviewers_of(target)
            if Role.ADMIN not in by.roles:
                if (why := self._objection(case, by)) is not None:
                    raise why
                if case.reviewers and not reviewers:  # "any reviewer" would let in whom the policy keeps out
                    raise NotPermitted(detail=target)
            body = {"event": "assigned", "case": seq, "actor": by.name, "target": target,
                    "reviewers": list(reviewers), "request_id": case.request_id}  # fmt: skip
            await self.gateway.record("review", body, {})
            await self._refresh()
            return self._known(seq)

    async def expire(self) -> list[ReviewCase]:
        """Write down what the deadlines have decided."""
        async with self._lock:
            await self._refresh()
            late = [c for c in self._cases.values() if c.closed is None and not c.is_open(self.now())]
            for case in late:
                body = {"event": "expired", "case": case.seq, "actor": "server", "outcome": "DENY",
                        "request_id": case.request_id}  # fmt: skip
                await self.gateway.record("review", body, {})
            if late:
                await self._refresh()
        return late

    async def sweep(self) -> None:
        """expire() for ever."""
        while True:
            await self.expire()
            await asyncio.sleep(SWEEP_SECONDS)

    # -- what follows -------------------------------------------------------------------------------------------

    async def request_of(self, case: ReviewCase) -> Request:
        """The request as it was asked. Raises RecordInvalid when its text has been erased."""
        texts = await self.texts(case.seq)
        if "query" not in texts:
            raise RecordInvalid(where=f"seq {case.seq}", detail="the text was erased")
        turns = _turns(texts.get("history", "[]"))
        domain = Domain(case.domain) if case.domain else None
        documents = tuple(Excerpt(*one) for one in json.loads(texts.get("documents", "[]")))
        return Request(
            case.request_id, texts["query"], case.clearance, case.classification, domain, case.asker, turns, documents,
            agent=case.agent, task=case.task, order=texts.get("order", ""),
            floors=tuple(Floor(rule, Decision.ESCALATE, case.reason) for rule in case.rules if case.task),
        )  # fmt: skip

    async def answered(self, case: ReviewCase) -> str:
        """The answer of an allowed case: the reviewer's own words, else the draft as it was shown, else the model's,
        made and recorded once.

        Raises RecordInvalid unless the case was allowed and its text is still there.
        """
        if case.closed != Status.ALLOWED or case.closed_seq is None:
            raise RecordInvalid(where=f"seq {case.seq}", detail="not allowed")
        if case.tool:  # what was allowed is a call, which its asker makes: no model says anything about it
            return tool_allowed(case.tool, case.seq, used=case.answer_seq is not None)
        if case.answer_seq is not None:
            return (await self.texts(case.answer_seq)).get("reply", "")
        for vote in reversed(case.votes):
            if own := (await self.texts(vote.seq)).get("answer"):
                return own
            stored = await asyncio.to_thread(self.reader.entry, vote.seq)
            if stored is not None and "answer" in stored.content:
                raise RecordInvalid(where=f"seq {vote.seq}", detail="the text was erased")
        answering = self._answering.setdefault(case.seq, asyncio.Lock())
        async with answering:
            fresh = await self.case(case.seq)
            if fresh.answer_seq is None:
                return await self._answer(fresh, case.closed_seq)
        return (await self.texts(fresh.answer_seq)).get("reply", "")

    async def _answer(self, case: ReviewCase, review_seq: int) -> str:
        """Outside the queue's lock: a model may take its time."""
        draft = draft_of(await self.texts(case.seq))
        entry, answer = await self.gateway.answer_reviewed(await self.request_of(case), case.seq, review_seq, draft)
        if answer.failed:  # said to the asker, not kept as the answer: the next look tries again
            return answer.text
        body = {"event": "answered", "case": case.seq, "actor": "server", "answer_seq": entry.seq,
                "request_id": case.request_id}  # fmt: skip
        await self.gateway.record("review", body, {})
        return answer.text

    async def precedent(self, case: ReviewCase) -> Case | None:
        """What a human decision settles: None where nobody decided, the text has been erased, or it was said in a
        conversation, about an image or documents, or for a task or a tool, where much the same words may ask for
        something else."""
        if case.closed not in (Status.ALLOWED, Status.DENIED) or not case.votes or case.task or case.tool:
            return None
        texts = await self.texts(case.seq)
        query, vote = texts.get("query"), case.votes[-1]
        if query is None or texts.get("history") or texts.get("documents") or TEXTS in texts:
            return None
        asked = Asked(case.asker, case.clearance, case.classification)
        return Case(self.precedent_id(case), query, vote.decision, vote.reviewer, asked)

    async def read(self, case: ReviewCase, reviewer: Identity) -> dict[str, str]:
        """The texts of a case for somebody who may read them; that he did is durable before he sees them.

        Raises NotPermitted, ReviewClosed, LedgerUnavailable.
        """
        self.may_read(case, reviewer)
        body = {"event": "text_read", "actor": reviewer.name, "seq": case.seq, "of": case.asker}
        await self.gateway.note("access", body)
        return await self.texts(case.seq)

    def precedent_id(self, case: ReviewCase) -> str:
        """Numbers alone repeat from one ledger to the next, and a bundle brings the precedents of others."""
        return f"{self._ours()}{case.seq}"

    async def taught_by(self, precedent: str) -> ReviewCase | None:
        """The case that became this precedent; None where it is of another ledger or nobody's decision."""
        number = precedent.removeprefix(self._ours())
        return await self.case(int(number)) if number != precedent and number.isdecimal() else None

    def may_read(self, case: ReviewCase, reviewer: Identity) -> None:
        """A case's text is for who may decide it, or has decided. Raises NotPermitted, ReviewClosed."""
        if folded(reviewer.name) in {folded(vote.reviewer) for vote in case.votes}:
            return
        if (why := self._objection(case, reviewer)) is not None:
            raise why

    # -- inside -------------------------------------------------------------------------------------------------

    def _ours(self) -> str:
        return f"review-{self.gateway.ledger.head.ledger_id[:8]}-"

    def _known(self, seq: int) -> ReviewCase:
        """As far as the last refresh saw. Raises RecordInvalid."""
        return self._cases.get(seq) or self._reread(seq)

    def _reread(self, seq: int) -> ReviewCase:
        """A case that is not kept, from its entries. Raises RecordInvalid."""
        entry = self.reader.entry(seq)
        if entry is None or entry.kind != "decision" or entry.decision != Decision.ESCALATE.value:
            raise RecordInvalid(where=f"seq {seq}", detail="no such case")
        case = opened(entry)
        for later in self._all(seq, kinds=("review",), request_id=entry.request_id):
            if later.data.get("case") == seq:
                case = after(case, later)
        return case

    def _objection(self, case: ReviewCase, reviewer: Identity) -> Exception | None:
        """Why this person may not decide this case now, or None."""
        if Role.REVIEWER not in reviewer.roles:
            return NotPermitted(detail=Role.REVIEWER)
        if not case.is_open(self.now()):
            return ReviewClosed(where=f"seq {case.seq}", detail=case.status(self.now()))
        name = folded(reviewer.name)  # one person may be spelled in two ways by two ways of logging in
        if folded(case.asker) == name:
            return NotPermitted(detail=("自分の依頼です", "your own request"))
        if name in {folded(vote.reviewer) for vote in case.votes}:
            return NotPermitted(detail=("もう判断しました", "decided by you already"))
        names = {name, *(folded(f"@{group}") for group in reviewer.groups)}
        if case.reviewers and names.isdisjoint(map(folded, case.reviewers)):
            return NotPermitted(detail=case.target)
        if case.classification is not None and not self._reaches(reviewer.clearance, case.classification):
            return NotPermitted(detail=case.classification)
        return None

    def _reaches(self, clearance: str, classification: str) -> bool:
        """A level that the policy in force no longer knows is reached by nobody."""
        try:
            return self.gateway.judge.policy.levels.gap(clearance, classification) <= 0
        except LevelUnknown:
            return False

    async def _refresh(self) -> None:
        """Take in what was written since, by whichever gateway."""
        closed = []
        top, news = await asyncio.to_thread(self._news)
        for entry in news:
            if entry.kind == "decision":
                self._cases[entry.seq] = opened(entry)
            elif (case := self._cases.get(entry.data.get("case", 0))) is not None:
                self._cases[case.seq] = changed = after(case, entry)
                if case.closed is None and changed.closed is not None:
                    closed.append(changed)
        self._read = max(self._read, top)  # all up to there has been seen, also what was no concern of ours
        self._forget()
        for case in closed if self.learn else ():
            if self.learn and (precedent := await self.precedent(case)) is not None:
                self.learn(precedent)

    def _news(self) -> tuple[int, list[Stored]]:
        """The newest number, and what concerns us up to it: entries that come while we read are for the next time."""
        newest = self.reader.entries(limit=1, newest_first=True)
        top = newest[0].seq if newest else 0
        if top <= self._read:
            return top, []
        handed = self._all(self._read, kinds=("decision",), decision=Decision.ESCALATE.value, before=top + 1)
        reviews = self._all(self._read, kinds=("review",), before=top + 1)
        return top, sorted([*handed, *reviews], key=lambda entry: entry.seq)

    def _forget(self) -> None:
        """Keep the newest closed cases; the counting is not done for every entry."""
        if len(self._cases) <= KEPT + PAGE:
            return
        closed = [seq for seq, case in self._cases.items() if case.closed is not None]
        for seq in closed[: max(0, len(closed) - KEPT)]:
            del self._cases[seq]

    def _all(self, start: int, **filters: Any) -> list[Stored]:
        found: list[Stored] = []
        while page := self.reader.entries(after=found[-1].seq if found else start, limit=PAGE, **filters):
            found += page
            if len(page) < PAGE:
                break
        return found


def case_json(case: ReviewCase) -> dict[str, Any]:
    """A case as JSON, for the interface and the command line."""
    made = dataclasses.asdict(case)
    return made | {"closed": case.closed.value if case.closed else None}


def _turns(text: str) -> tuple[Turn, ...]:
    return tuple(Turn(role, said) for role, said in json.loads(text))
