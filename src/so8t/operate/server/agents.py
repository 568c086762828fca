"""Agents and their tools over HTTP.

GET  /so8t/v1/agents                        the agents that the asker may use
POST /so8t/v1/agents/NAME/ask               {"query", "history"?: [{"role", "content"}], "stream"?} -> answer with its
                                            sources
POST /so8t/v1/agents/NAME/tools/SERVER/TOOL {"arguments", "case"?} -> what became of the call
GET  /so8t/v1/tools                         every allowed tool as it is now and as it was approved, for administrators
POST /so8t/v1/tools/SERVER/TOOL/approve     {"digest"}: of the description that was read
POST /so8t/v1/tools/SERVER/TOOL/revoke      {}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.core.errors import RecordInvalid, ToolUnknown
from so8t.core.types import Turn
from so8t.operate.agents.desk import AgentDesk
from so8t.operate.answering import AnswerOptions
from so8t.operate.identity.identity import Role
from so8t.operate.server.body import Json, flag, only, read_json
from so8t.operate.server.event_stream import event_stream
from so8t.operate.server.office import Office
from so8t.operate.server.openai import turns
from so8t.operate.server.reviews import BASE

if TYPE_CHECKING:
    from so8t.operate.tools.calling import ToolDesk

LONGEST_DIGEST = 64


def routes(office: Office, desk: AgentDesk) -> list[Route]:
    api = Agents(office, desk)
    tool = f"{BASE}/tools/{{server}}/{{tool}}"
    return [
        Route(f"{BASE}/agents", api.listed, methods=["GET"]),
        Route(f"{BASE}/agents/{{name}}/ask", api.ask, methods=["POST"]),
        Route(f"{BASE}/agents/{{name}}/tools/{{server}}/{{tool}}", api.call, methods=["POST"]),
        Route(f"{BASE}/tools", api.tools, methods=["GET"]),
        Route(f"{tool}/approve", api.approve, methods=["POST"]),
        Route(f"{tool}/revoke", api.revoke, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class Agents:
    office: Office
    desk: AgentDesk

    async def listed(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        return _json({"agents": [agent.to_json() for agent in self.desk.offered(identity)]})

    async def ask(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        only(body, "query", "history", "stream")
        query, history = body.get("query"), body.get("history") or []
        if not isinstance(query, str):
            raise RecordInvalid(where="query", detail="text")
        said = turns(history) if history else []
        if any(one.uploads for one in said):
            raise RecordInvalid(where="history", detail="text alone")
        earlier = [Turn(one.role, one.text) for one in said]  # type: ignore[arg-type]
        options = AnswerOptions(self.office.maximum_tokens)
        name = http.path_params["name"]
        if flag(body, "stream"):
            return event_stream((await self.desk.stream(identity, name, query, earlier, options)).events())
        return _json((await self.desk.ask(identity, name, query, earlier, options)).to_json())

    async def call(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        only(body, "arguments", "case")
        agent = self.desk.open(identity, http.path_params["name"])
        case = body.get("case")
        if case is not None and (isinstance(case, bool) or not isinstance(case, int) or not 0 < case < 1 << 53):
            raise RecordInvalid(where="case", detail="a ledger number")
        made = await self._tools().call(identity, agent, _id(http), body.get("arguments", {}), case=case)
        return _json(made.to_json())

    async def tools(self, http: HttpRequest) -> Response:
        await self.office.identity(http, Role.ADMIN)
        return _json({"tools": await self.desk.tools.approvals.listed() if self.desk.tools else []})

    async def approve(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.ADMIN)
        digest = (await read_json(http)).get("digest")
        if not isinstance(digest, str) or len(digest) != LONGEST_DIGEST:
            raise RecordInvalid(where="digest", detail="of the description that was read")
        await self._tools().approvals.approve(identity, _id(http), digest)
        return _json({"tool": _id(http), "state": "approved"})

    async def revoke(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.ADMIN)
        await self._tools().approvals.revoke(identity, _id(http))
        return _json({"tool": _id(http), "state": "new"})

    def _tools(self) -> ToolDesk:
        if self.desk.tools is None:
            raise ToolUnknown(detail="serve.tools")
        return self.desk.tools


def _id(http: HttpRequest) -> str:
    return f"{http.path_params['server']}/{http.path_params['tool']}"


def _json(value: Json | Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
