"""MCP over streamable HTTP, in the running server: POST /mcp with a user's API key (MCP specification, 2025-06-18).

Stateless: each request stands for itself, so nothing is kept between two and no session can be taken over. The answer
is JSON. There is no stream from the server's side, so GET and DELETE are refused as the specification allows. Host and
Origin are checked twice, by the guard of every request and by the SDK's own check, which is off unless it is told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from so8t.operate.mcp.inner import Inner
from so8t.operate.mcp.office_client import OfficeClient
from so8t.operate.mcp.server import server_of
from so8t.operate.server.body import read_bytes
from so8t.operate.server.office import Office
from so8t.operate.server.office_work import MAX_TRANSCRIPT

PATH = "/mcp"


def routes(office: Office, hosts: Collection[str]) -> list[Route]:
    return [Route(PATH, McpOverHttp(office, security(hosts)), methods=["POST"])]


def security(hosts: Collection[str]) -> TransportSecuritySettings:
    """Only our own names as Host, and only pages of our own as Origin; a program sends none."""
    names = [f"[{host}]" if ":" in host else host for host in hosts]
    allowed = [form for name in names for form in (name, f"{name}:*")]
    origins = [f"{scheme}://{form}" for scheme in ("http", "https") for form in allowed]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=allowed, allowed_origins=origins
    )


@dataclass(frozen=True, slots=True)
class McpOverHttp:
    """An ASGI application: who asks is known before anything of the body is understood."""

    office: Office
    settings: TransportSecuritySettings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises NotIdentified, NotPermitted, TooManyAttempts, Crowded, BodyTooLarge, BodyTooSlow."""
        http = HttpRequest(scope, receive)
        await self.office.identity(http)
        body = await read_bytes(http, MAX_TRANSCRIPT)
        manager = StreamableHTTPSessionManager(
            server_of(OfficeClient(Inner(http))), json_response=True, stateless=True,
            security_settings=self.settings, max_request_body_size=MAX_TRANSCRIPT,
        )  # fmt: skip
        async with manager.run():
            await manager.handle_request(scope, _replayed(body, receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body that was read, then whatever comes after it: that the client has gone."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
