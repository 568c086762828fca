"""対話: ask, and read the answer as it comes. Without JavaScript the same form leads to the same page.

The conversation is not the browser's to tell: the form names the ledger number it goes on from, and what was said until
there is read from the ledger. So is the agent it was begun with; another agent is another conversation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from starlette.responses import RedirectResponse, Response

from so8t.core.types import Request
from so8t.decide.clearance import highest
from so8t.operate.answering import AnswerOptions
from so8t.operate.console.exchange import conversation, level_reached, own_exchange
from so8t.operate.console.live import judged, live, wanted
from so8t.operate.console.visit import Visit, number
from so8t.operate.gateway import MAX_QUERY, Stream
from so8t.operate.intake.intake import Said, carried

KINDS = "image/png,image/jpeg,image/tiff,image/bmp,image/webp,application/pdf"


async def show(visit: Visit) -> Response:
    """The conversation up to ?after=SEQ, one of one's own requests; or a new one, with ?agent=NAME."""
    after = visit.asked("after", 15)
    found = await own_exchange(visit, number(after, "after")) if after else None
    levels = visit.running.policy.policy.levels.names
    intake, agents = visit.running.intake, visit.running.agents.offered(visit.identity)
    images = intake.config.files if intake else 0
    name = found.agent if found else visit.asked("agent", 40)
    agent = next((one for one in agents if one.id == name), None)
    return visit.page(
        "chat", "chat", found=found, levels=levels, longest=MAX_QUERY, images=images, kinds=KINDS, agents=agents,
        agent=agent,
    )  # fmt: skip


async def ask(visit: Visit) -> Response:
    """A stream of JSON events for our script, else the page with the answer. Raises what the gateway raises."""
    request, options = await _request(visit), AnswerOptions(visit.console.maximum_tokens)
    gateway = visit.running.gateway
    if wanted(visit.http):
        return live(_events(await gateway.stream(request, options), visit.lang))
    reply = await gateway.ask(request, options)
    return RedirectResponse(f"/console/chat?after={reply.ledger_seq}", 303)


async def _request(visit: Visit) -> Request:
    query, after = visit.form.one("query", MAX_QUERY).strip(), visit.form.one("after", 15)
    before = await own_exchange(visit, number(after, "after")) if after else None
    history = conversation(before) if before else ()
    attachments = carried(before.entry.data.get("attachments")) if before else ()
    identity, policy = visit.identity, visit.running.policy.policy
    level = visit.form.one("classification", 100) or None
    if before is not None:
        level = highest((level, level_reached(before, policy)), policy)
    if visit.form.files:
        assert visit.running.intake is not None  # else the form was not read
        said = [Said("user", query, visit.form.files)]
        (turn,), read = await visit.running.intake.turns(identity.name, said, policy)
        query, attachments = turn.text, (*attachments, *read)
    agent = before.agent if before else visit.form.one("agent", 40)  # the same to the end of a conversation
    request = Request(
        f"req-{uuid4().hex}", query, identity.clearance, level, None, identity.name, history, (), attachments,
        agent=agent,
    )  # fmt: skip
    return (await visit.running.agents.prepared(identity, request)).request


async def _events(stream: Stream, lang: str) -> AsyncGenerator[dict[str, Any]]:
    """verdict, text ..., end. Closing it early is recorded by the gateway."""
    seq = stream.entry.seq
    async with aclosing(stream.sentences) as sentences:
        yield judged(stream.verdict.decision, stream.verdict.policy_ref, seq, lang)
        async for sentence in sentences:
            yield {"text": sentence}
    yield {"end": seq}
