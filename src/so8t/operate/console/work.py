"""文書検索、議事録、メール: office work in the browser, through the gateway like everything else.

Minutes and drafts are kept in the ledger, so the form leads to the page of the request, which one may come back to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import RedirectResponse, Response

from so8t.core.errors import RecordInvalid
from so8t.core.types import Request
from so8t.operate.answering import AnswerOptions
from so8t.operate.console.live import judged, live, wanted
from so8t.operate.console.visit import Visit
from so8t.operate.mail import making as mail
from so8t.operate.mail.order import MOST_RECIPIENTS, Register
from so8t.operate.mail.order import Order as MailOrder
from so8t.operate.minutes import making as minutes
from so8t.operate.minutes.making import MinutesOrder
from so8t.operate.minutes.transcript import MAX_CHARACTERS
from so8t.operate.search.searching import MAXIMUM_QUERY
from so8t.operate.search.sourced import answer
from so8t.operate.search.streamed import SourcedStream, stream
from so8t.operate.server.app import NotFoundHere

SHOWN, READ = 20, 10  # documents found that are listed, and that an answer is written from


async def search(visit: Visit) -> Response:
    """?q=: what is found within the visitor's clearance."""
    query = visit.asked("q", MAXIMUM_QUERY).strip()
    documents = visit.running.search
    if documents is None:
        raise NotFoundHere(detail="serve.search")
    found = await documents.ask(visit.identity, query, None, SHOWN) if query else None
    return visit.page("search", "search", query=query, found=found, longest=MAXIMUM_QUERY)


async def answered(visit: Visit) -> Response:
    """An answer from what is found, each sentence with the passage it stands on; for our script as it comes."""
    query, documents = visit.form.one("query", MAXIMUM_QUERY).strip(), visit.running.search
    if documents is None:
        raise NotFoundHere(detail="serve.search")
    found = await documents.ask(visit.identity, query, None, READ)
    gateway, options = visit.running.gateway, AnswerOptions(visit.console.maximum_tokens)
    if wanted(visit.http):
        return live(_events(visit, query, await stream(gateway, visit.identity, query, found, options)))
    return _answer(visit, query, (await answer(gateway, visit.identity, query, found, options)).to_json())


async def _events(visit: Visit, query: str, made: SourcedStream) -> AsyncGenerator[dict[str, Any]]:
    """verdict, sentence or notice ..., and the page that says it all. Closing it early is recorded by the gateway."""
    async with aclosing(made.events()) as events:
        async for event in events:
            if "begin" in event:
                if made.stream is not None:
                    verdict = made.stream.verdict
                    yield judged(verdict.decision, verdict.policy_ref, made.stream.entry.seq, visit.lang)
            elif "end" in event:
                yield {"page": bytes(_answer(visit, query, event["end"]).body).decode()}
            else:
                yield event


def _answer(visit: Visit, query: str, told: dict[str, Any]) -> Response:
    return visit.page("answer", "search", query=query, told=told)


async def minutes_form(visit: Visit) -> Response:
    return visit.page("minutes", "minutes", levels=_levels(visit), longest=MAX_CHARACTERS)


async def make_minutes(visit: Visit) -> Response:
    form = visit.form
    order = MinutesOrder.from_json(
        {"title": form.one("title", 100), "date": form.one("date", 100), "words": not form.one("plain", 10)}
    )
    transcript, level = form.one("transcript", MAX_CHARACTERS), form.one("classification", 100) or None
    policy = visit.running.policy.policy
    return await _made(visit, minutes.request(visit.identity, order, transcript, level, policy))


async def mail_form(visit: Visit) -> Response:
    return visit.page("mail", "mail", levels=_levels(visit), registers=list(Register), signed=visit.identity.name)


async def make_mail(visit: Visit) -> Response:
    """Recipients and points stand one a line."""
    form = visit.form
    order = MailOrder.from_json(
        {
            "purpose": form.one("purpose", 300), "to": _lines(form.one("to", 420 * MOST_RECIPIENTS)),
            "points": _lines(form.one("points")), "register": form.one("register", 10) or Register.POLITE.value,
            "sender": form.one("sender", 100), "reply": form.one("reply"), "words": not form.one("plain", 10),
        }
    )  # fmt: skip
    policy, config = visit.running.policy.policy, visit.running.config.mail
    level = form.one("classification", 100) or None
    return await _made(visit, mail.request(visit.identity, order, level, policy, config))


async def _made(visit: Visit, request: Request) -> Response:
    reply = await visit.running.gateway.ask(request)
    return RedirectResponse(f"/console/requests/{reply.ledger_seq}", 303)


def _lines(text: str) -> list[str]:
    found = [line.strip().removeprefix("・").strip() for line in text.splitlines()]
    if len(kept := [line for line in found if line]) > 100:
        raise RecordInvalid(where="lines", detail="> 100")
    return kept


def _levels(visit: Visit) -> tuple[str, ...]:
    return visit.running.policy.policy.levels.names
