"""Document search over HTTP.

POST /so8t/v1/search        {"query", "folders"?: [names], "limit"?} -> {"total", "loosely", "hits"}
POST /so8t/v1/answer        {"query", "folders"?, "stream"?} -> an answer from what was found, sentence by sentence
GET  /so8t/v1/search/state  how far the index is, for administrators
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.core.errors import RecordInvalid
from so8t.operate.answering import AnswerOptions
from so8t.operate.identity.identity import Role
from so8t.operate.search.searching import MOST
from so8t.operate.search.service import DocumentSearch
from so8t.operate.search.sourced import answer
from so8t.operate.search.streamed import stream
from so8t.operate.server.body import Json, flag, only, read_json
from so8t.operate.server.event_stream import event_stream
from so8t.operate.server.office import Office
from so8t.operate.server.reviews import BASE

MAX_FOLDERS = 100
LOOKED_AT = 10  # documents found for an answer; the best passages of them are read


def routes(office: Office, search: DocumentSearch) -> list[Route]:
    api = Documents(office, search)
    return [
        Route(f"{BASE}/search", api.ask, methods=["POST"]),
        Route(f"{BASE}/answer", api.answer, methods=["POST"]),
        Route(f"{BASE}/search/state", api.state, methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True)
class Documents:
    office: Office
    search: DocumentSearch

    async def ask(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        only(body, "query", "folders", "limit")
        query, folders = _question(body)
        limit = body.get("limit", 10)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
            raise RecordInvalid(where="limit", detail=f"1 to {MOST}")
        found = await self.search.ask(identity, query, folders, limit)
        return Response(orjson.dumps(found.to_json()), media_type="application/json")

    async def answer(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        only(body, "query", "folders", "stream")
        (query, folders), streamed = _question(body), flag(body, "stream")
        found = await self.search.ask(identity, query, folders, LOOKED_AT)
        gateway, options = self.office.gateway, AnswerOptions(self.office.maximum_tokens)
        if streamed:
            return event_stream((await stream(gateway, identity, query, found, options)).events())
        made = await answer(gateway, identity, query, found, options)
        return Response(orjson.dumps(made.to_json()), media_type="application/json")

    async def state(self, http: HttpRequest) -> Response:
        await self.office.identity(http, Role.ADMIN)
        return Response(orjson.dumps(await self.search.state()), media_type="application/json")


def _question(body: Json) -> tuple[str, list[str] | None]:
    query, folders = body.get("query"), body.get("folders")
    if not isinstance(query, str):
        raise RecordInvalid(where="query", detail="text")
    if folders is not None and not _names(folders):
        raise RecordInvalid(where="folders", detail=f"a list of at most {MAX_FOLDERS} names")
    return query, folders


def _names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_FOLDERS and all(isinstance(v, str) for v in value)
