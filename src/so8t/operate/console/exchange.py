"""One question and what became of it, as the ledger tells it; and the conversation that led to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from so8t.core.errors import NotPermitted
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.types import Decision, Turn
from so8t.decide.clearance import highest, level_of
from so8t.decide.policy import Policy
from so8t.operate.console.visit import Visit
from so8t.operate.gateway import MAX_HISTORY, MAX_TURNS
from so8t.operate.review.case import ReviewCase, Status


@dataclass(frozen=True, slots=True)
class Exchange:
    """`query` and `reply` are None where they were erased, or (reply) not there yet. `status` only of a case. made: of
    a task, what the reply was written from; source: the lines of a meeting that minutes were made of; `places`: of the
    passages that the answer was to be taken from."""

    entry: Stored
    query: str | None
    reply: str | None
    history: tuple[Turn, ...]
    withheld: str = ""
    case: ReviewCase | None = None
    status: Status | None = None
    made: Mapping[str, Any] | None = None
    source: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        return str(self.entry.data.get("task") or "")

    @property
    def agent(self) -> str:
        """The agent it was put to, "" = none."""
        return str((self.entry.data.get("agent") or {}).get("name", ""))

    @property
    def waits(self) -> bool:
        """Whether a look later may show more."""
        return self.status in (Status.PENDING, Status.SECOND)


async def own_exchange(visit: Visit, seq: int) -> Exchange:
    """Raises NotPermitted for anything but the visitor's own request, whether or not there is such a number."""
    reader, reviews = visit.running.reader, visit.running.reviews
    entry = await asyncio.to_thread(reader.entry, seq)
    if entry is None or entry.kind != "decision" or entry.actor != visit.identity.name:
        raise NotPermitted(detail=("ほかの人の依頼です", "another's request"))
    found = await asyncio.to_thread(_read, reader, entry)
    if entry.decision != Decision.ESCALATE:
        return found
    case = await reviews.case(seq)
    status = case.status(reviews.now())
    if status == Status.ALLOWED and found.query is not None:
        reply = await reviews.answered(case)
        later = await asyncio.to_thread(_read, reader, entry)
        found = replace(later, reply=reply, made=later.made if later.reply == reply else None)
    return replace(found, case=case, status=status)


def _read(reader: LedgerReader, entry: Stored) -> Exchange:
    """A streamed answer, and one that a person allowed, has an entry of its own."""
    texts = reader.texts_of([entry]).get(entry.seq, {})
    told, withheld = texts, entry.data.get("answer_withheld")
    if ("reply" not in texts or entry.decision == Decision.ESCALATE) and entry.request_id is not None:
        later = reader.entries(kinds=("answer",), request_id=entry.request_id, after=entry.seq, limit=10)
        ends = [e for e in later if e.data.get("decision_seq") == entry.seq]
        if ends:
            told, withheld = reader.texts_of(ends[:1]).get(ends[0].seq, {}), ends[0].data.get("answer_withheld")
    made = json.loads(told["made"]) if "made" in told else None
    documents = json.loads(texts.get("documents", "[]"))
    minutes = made is not None and entry.data.get("task") == "minutes"
    source = tuple(documents[0][3].split("\n")) if documents and minutes else ()
    places = () if source else tuple(str(one[1]) for one in documents)
    history, why = turns(texts.get("history", "[]")), str(withheld or "")
    return Exchange(entry, texts.get("query"), told.get("reply"), history, why, made=made, source=source, places=places)


def turns(text: str) -> tuple[Turn, ...]:
    """A conversation as the gateway wrote it down."""
    return tuple(Turn(role, words) for role, words in json.loads(text))


def conversation(found: Exchange) -> tuple[Turn, ...]:
    """What was said up to and including an exchange, within the gateway's limits: the oldest turns go first."""
    said = list(found.history)
    if found.query is not None:
        said.append(Turn("user", found.query))
        if found.reply is not None:
            said.append(Turn("assistant", found.reply))
    while said and (len(said) > MAX_TURNS or _characters(said) > MAX_HISTORY):
        said.pop(0)
    return tuple(said)


def level_reached(found: Exchange, policy: Policy) -> str | None:
    """The highest level that a conversation has touched: what goes on from it is of that level."""
    recorded = (found.entry.data.get("classification"), (found.entry.data.get("review") or {}).get("classification"))
    texts = (found.query or "", found.reply or "", *(turn.text for turn in found.history))
    known = (level for level in recorded if level in policy.levels.names)  # a policy may have changed its names
    return highest((*known, *(level_of(text, policy) for text in texts)), policy)


def _characters(said: Sequence[Turn]) -> int:
    return sum(len(turn.text) for turn in said)
