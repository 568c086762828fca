"""Our own interface beside the two borrowed ones: what was handed over, for those who asked and those who decide.

GET  /so8t/v1/requests              one's own handed-over requests and their state, the newest PAGE; ?before=SEQ goes on
GET  /so8t/v1/requests/{seq}        one of them; once it is allowed, with its answer
GET  /so8t/v1/reviews               what waits for this reviewer
GET  /so8t/v1/reviews/{seq}         one of them with its text
POST /so8t/v1/reviews/{seq}         {"decision": "ALLOW" | "DENY", "comment"?, "answer"?}
POST /so8t/v1/reviews/{seq}/assign  {"target"}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.core.errors import NotPermitted, RecordInvalid
from so8t.core.types import Decision
from so8t.operate.identity.identity import Role
from so8t.operate.review.case import ReviewCase, Status
from so8t.operate.review.queue import ReviewQueue, case_json
from so8t.operate.server.body import Json, read_json
from so8t.operate.server.office import Office

BASE = "/so8t/v1"
MAX_DIGITS = 18  # a ledger number has no more
PAGE = 100


def routes(office: Office, queue: ReviewQueue) -> list[Route]:
    api = Reviews(office, queue)
    return [
        Route(f"{BASE}/requests", api.own, methods=["GET"]),
        Route(f"{BASE}/requests/{{seq}}", api.own_one, methods=["GET"]),
        Route(f"{BASE}/reviews", api.waiting, methods=["GET"]),
        Route(f"{BASE}/reviews/{{seq}}", api.one, methods=["GET"]),
        Route(f"{BASE}/reviews/{{seq}}", api.decide, methods=["POST"]),
        Route(f"{BASE}/reviews/{{seq}}/assign", api.assign, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class Reviews:
    office: Office
    queue: ReviewQueue

    async def own(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        before = http.query_params.get("before")
        last = 10**MAX_DIGITS if before is None else _number(before, "before")
        own = [case for case in await self.queue.asked_by(identity.name) if case.seq < last]
        return _json({"requests": [self._state(case) for case in own[:PAGE]], "more": len(own) > PAGE})

    async def own_one(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        case = await self.queue.case(_seq(http))
        if case.asker != identity.name:
            raise NotPermitted(detail=("ほかの人の依頼です", "another's request"))
        allowed = case.closed == Status.ALLOWED
        return _json(self._state(case) | {"answer": await self.queue.answered(case) if allowed else None})

    async def waiting(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.REVIEWER)
        return _json({"reviews": [self._whole(case) for case in await self.queue.waiting_for(identity)]})

    async def one(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.REVIEWER)
        case = await self.queue.case(_seq(http))
        return _json({"texts": await self.queue.read(case, identity)} | self._whole(case))

    async def decide(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.REVIEWER)
        body = await read_json(http)
        if body.get("decision") not in ("ALLOW", "DENY"):
            raise RecordInvalid(where="decision", detail="ALLOW or DENY")
        words = [body.get(name) or "" for name in ("comment", "answer")]
        if not all(isinstance(word, str) for word in words):
            raise RecordInvalid(where="comment, answer", detail="texts expected")
        decision = Decision(body["decision"])
        return _json(self._whole(await self.queue.decide(_seq(http), identity, decision, *words)))

    async def assign(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http, Role.REVIEWER, Role.ADMIN)
        target = (await read_json(http)).get("target")
        if not isinstance(target, str):
            raise RecordInvalid(where="target", detail="a name expected")
        return _json(self._whole(await self.queue.assign(_seq(http), target, identity)))

    def _state(self, case: ReviewCase) -> Json:
        """What the asker may know: not who decides, nor why it was handed over in detail."""
        status = case.status(self.queue.now())
        return {
            "seq": case.seq, "request_id": case.request_id, "time": case.time, "deadline": case.deadline,
            "target": case.target, "status": status.value,
        }  # fmt: skip

    def _whole(self, case: ReviewCase) -> Json:
        return case_json(case) | {"status": case.status(self.queue.now()).value}


def _seq(http: HttpRequest) -> int:
    """The number in the path. Raises RecordInvalid."""
    return _number(http.path_params["seq"], "seq")


def _number(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        raise RecordInvalid(where=where, detail="a ledger number expected")
    return int(text)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
