"""What was handed to people, as the ledger tells it: every state follows from its entries, in their order.

open -> decided (ALLOW or DENY) by one reviewer, or by two who agree where the policy wants four eyes. One DENY is
enough. Past its deadline an open case is a DENY, whether or not anybody has written so yet (issue 6.7).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from so8t.core.ledger_read import Stored
from so8t.core.types import Decision
from so8t.operate.identity.names import folded
from so8t.report.figures import Words


class Status(StrEnum):
    """pending waits for the first reviewer, second for another one."""

    PENDING = "pending"
    SECOND = "second"
    ALLOWED = "allowed"
    DENIED = "denied"
    EXPIRED = "expired"


STATUS_WORDS = {
    "pending": Words("判断待ち", "Waiting"),
    "second": Words("二人目の判断待ち", "Waiting for a second reviewer"),
    "allowed": Words("許可されました", "Allowed"),
    "denied": Words("拒否されました", "Denied"),
    "expired": Words("期限切れ(拒否)", "Expired (denied)"),
}


@dataclass(frozen=True, slots=True)
class Vote:
    """What one reviewer decided, in the entry `seq`."""

    seq: int
    reviewer: str
    decision: Decision
    time: str


@dataclass(frozen=True, slots=True)
class ReviewCase:
    """One handed-over request. `seq` is the number of its decision entry; times are ISO 8601, UTC.

    `agent` it was put to, and `tool` that was to be called; "" = none.
    """

    seq: int
    request_id: str
    asker: str
    time: str
    deadline: str
    target: str
    reviewers: tuple[str, ...]
    four_eyes: bool
    clearance: str
    classification: str | None
    domain: str | None
    rules: tuple[str, ...]
    reason: str
    confidence: float
    opinions: tuple[Mapping[str, Any], ...]
    votes: tuple[Vote, ...] = ()
    closed: Status | None = None
    closed_seq: int | None = None
    answer_seq: int | None = None
    task: str = ""
    agent: str = ""
    tool: str = ""

    def status(self, now: datetime) -> Status:
        if self.closed is not None:
            return self.closed
        if now >= datetime.fromisoformat(self.deadline):
            return Status.EXPIRED
        return Status.SECOND if self.votes else Status.PENDING

    def is_open(self, now: datetime) -> bool:
        return self.status(now) in (Status.PENDING, Status.SECOND)


def opened(entry: Stored) -> ReviewCase:
    """The case that a decision entry ESCALATE opens. What applies to it is what its entry says, not today's policy."""
    data = entry.data
    terms = data["review"]
    return ReviewCase(
        seq=entry.seq,
        request_id=entry.request_id or "",
        asker=entry.actor or "",
        time=entry.time,
        deadline=str(terms["deadline"]),
        target=str(data.get("escalation_target") or ""),
        reviewers=tuple(terms["reviewers"]),
        four_eyes=bool(terms["four_eyes"]),
        clearance=str(data["clearance"]),
        classification=terms["classification"],
        domain=data.get("domain"),
        rules=tuple(data.get("rules", ())),
        reason=str(data.get("reason", "")),
        confidence=float(data.get("confidence", 0.0)),
        opinions=tuple(data.get("opinions", ())),
        task=str(data.get("task", "")),
        agent=str((data.get("agent") or {}).get("name", "")),
        tool=str((data.get("tool") or {}).get("name", "")),
    )


def after(case: ReviewCase, entry: Stored) -> ReviewCase:
    """The case after one of its review entries. An entry that came too late, or twice, changes nothing."""
    event = entry.data.get("event")
    if event == "answered":
        return case if case.answer_seq else dataclasses.replace(case, answer_seq=entry.data["answer_seq"])
    if case.closed is not None:
        return case
    if event == "assigned":
        return dataclasses.replace(case, target=entry.data["target"], reviewers=tuple(entry.data["reviewers"]))
    if event == "expired":
        return dataclasses.replace(case, closed=Status.EXPIRED, closed_seq=entry.seq)
    voted = {folded(vote.reviewer) for vote in case.votes}
    if event != "vote" or _too_late(case, entry) or folded(entry.actor or "") in voted:
        return case
    vote = Vote(entry.seq, entry.actor or "", Decision(entry.data["outcome"]), entry.time)
    return _counted(dataclasses.replace(case, votes=(*case.votes, vote)), vote)


def _counted(case: ReviewCase, last: Vote) -> ReviewCase:
    if last.decision == Decision.DENY:
        return dataclasses.replace(case, closed=Status.DENIED, closed_seq=last.seq)
    if len(case.votes) >= (2 if case.four_eyes else 1):
        return dataclasses.replace(case, closed=Status.ALLOWED, closed_seq=last.seq)
    return case


def _too_late(case: ReviewCase, entry: Stored) -> bool:
    return datetime.fromisoformat(entry.time) >= datetime.fromisoformat(case.deadline)
