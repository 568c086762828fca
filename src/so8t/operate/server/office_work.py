"""Office work over HTTP.

POST /so8t/v1/minutes  {"transcript", "title"?, "date"?, "classification"?, "words"?} -> minutes, item by item
POST /so8t/v1/mail     {"purpose", "to": [addresses], "points"?, "register"?, "sender"?, "reply"?, ...} -> a draft
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.core.errors import RecordInvalid
from so8t.core.serve_config import MailConfig
from so8t.core.types import Decision, Reply, Request
from so8t.operate.mail import making as mail
from so8t.operate.mail.order import Order as MailOrder
from so8t.operate.minutes import making as minutes
from so8t.operate.minutes.making import MinutesOrder
from so8t.operate.server.body import Json, only, read_json
from so8t.operate.server.office import Office, shown
from so8t.operate.server.reviews import BASE

MAX_TRANSCRIPT = 4 << 20  # bytes: the longest transcript, every character as a JSON escape


def routes(office: Office, config: MailConfig) -> list[Route]:
    api = OfficeWork(office, config)
    return [
        Route(f"{BASE}/minutes", api.minutes, methods=["POST"]),
        Route(f"{BASE}/mail", api.mail, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class OfficeWork:
    office: Office
    mail_config: MailConfig

    async def minutes(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http, MAX_TRANSCRIPT)
        only(body, "transcript", "title", "date", "classification", "words", "read")
        transcript = body.get("transcript")
        if not isinstance(transcript, str):
            raise RecordInvalid(where="transcript", detail="text")
        policy = self.office.gateway.judge.policy
        asked = minutes.request(identity, MinutesOrder.from_json(body), transcript, _level(body), policy)
        return await self._made(asked)

    async def mail(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        only(body, "purpose", "to", "points", "register", "sender", "reply", "classification", "words")
        policy = self.office.gateway.judge.policy
        asked = mail.request(identity, MailOrder.from_json(body), _level(body), policy, self.mail_config)
        return await self._made(asked)

    async def _made(self, asked: Request) -> Response:
        return Response(orjson.dumps(told(await self.office.gateway.ask(asked))), media_type="application/json")


def told(reply: Reply) -> Json:
    """`text`: what was made, or why not; `made` null unless it was allowed and came out."""
    allowed = reply.verdict.decision is Decision.ALLOW
    return {
        "text": reply.text,
        "made": reply.made if allowed else None,
        "failed": bool(reply.failed),
        "so8t": shown(reply.verdict, reply.ledger_seq, reply.ledger_head),
    }


def _level(body: Json) -> str | None:
    level = body.get("classification")
    if level is not None and not isinstance(level, str):
        raise RecordInvalid(where="classification", detail="a level's name expected")
    return level
