"""私の依頼: what one has asked, and how far what was handed over has come."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.responses import Response

from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.types import Decision
from so8t.operate.console.exchange import own_exchange
from so8t.operate.console.visit import Visit, number

PAGE = 30


async def listed(visit: Visit) -> Response:
    """The newest first, PAGE at a time: ?before=SEQ goes on."""
    before = visit.asked("before", 15)
    reviews = visit.running.reviews
    found, texts = await asyncio.to_thread(
        _asked, visit.running.reader, visit.identity.name, number(before, "before") if before else None
    )
    cases = {case.seq: case for case in await reviews.asked_by(visit.identity.name)}
    states = {seq: case.status(reviews.now()) for seq, case in cases.items()}
    handed = [(case, states[case.seq]) for case in cases.values() if states[case.seq] in ("pending", "second")]
    more = found[PAGE - 1].seq if len(found) > PAGE else None
    return visit.page(
        "requests",
        "requests",
        entries=found[:PAGE],
        texts=texts,
        states=states,
        handed=handed,
        more=more,
        before=before,
    )


def _asked(reader: LedgerReader, name: str, before: int | None) -> tuple[list[Stored], dict[int, dict[str, str]]]:
    found = reader.entries(kinds=("decision",), actor=name, before=before, limit=PAGE + 1, newest_first=True)
    return found, reader.texts_of(found, ("query",))


async def one(visit: Visit) -> Response:
    return visit.page("request", "requests", found=await own_exchange(visit, visit.seq))


async def state(visit: Visit) -> Response:
    """For our script: whether a handed-over request still waits."""
    entry = await asyncio.to_thread(visit.running.reader.entry, visit.seq)
    told: dict[str, Any] = {"status": ""}
    if entry is not None and entry.actor == visit.identity.name and entry.decision == Decision.ESCALATE:
        case = await visit.running.reviews.case(visit.seq)
        told["status"] = case.status(visit.running.reviews.now()).value
    return Response(orjson.dumps(told), media_type="application/json")
