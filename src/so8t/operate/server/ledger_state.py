"""GET /so8t/v1/ledger/verify: the whole ledger against chain, signature and anchor, for auditors and administrators.

What it says, a broken server could say too. The proof is `so8t ledger verify` on another machine, with the public key.
"""

from __future__ import annotations

import asyncio

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.operate.identity.identity import Role
from so8t.operate.server.office import Office
from so8t.operate.server.reviews import BASE


def routes(office: Office) -> list[Route]:
    one_at_a_time = asyncio.Lock()

    async def verified(http: HttpRequest) -> Response:
        identity = await office.identity(http, Role.AUDITOR, Role.ADMIN)
        async with one_at_a_time:
            report = await asyncio.to_thread(office.gateway.ledger.verify_live)
        told = report.to_json()
        body = {"event": "verified", "actor": identity.name, "ok": report.ok, "entries": report.entries}
        await office.gateway.note("access", body)
        return Response(orjson.dumps(told), media_type="application/json")

    return [Route(f"{BASE}/ledger/verify", verified, methods=["GET"])]
