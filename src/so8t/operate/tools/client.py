"""One visit to a tool server: what tools it has, and one call. A fresh process and session each time.

Nothing is kept between two askers, so no server can carry what one said to the other; and the description is read in
the very session in which the call is made, so that it cannot change in between.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
from mcp import ClientSession, MCPError

from so8t.core.errors import So8tError, ToolFailed
from so8t.core.serve_config import ToolServer
from so8t.core.types import canonical_json
from so8t.operate.tools.description import Description
from so8t.operate.tools.transport import Budget, reached

MOST_TOOLS, MOST_PAGES = 200, 20
LONGEST_RESULT = 40_000  # characters of one result; what is beyond is not read, and that is said

# What a foreign server says to the SDK is not for our log.
logging.getLogger("mcp.client").addHandler(logging.NullHandler())
logging.getLogger("mcp.client").propagate = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool answered, as text. `failed`: it says so itself; `cut`: there was more than we read."""

    text: str
    failed: bool
    cut: bool


@dataclass(slots=True)
class Visit:
    """An open session with one server."""

    server: ToolServer
    session: ClientSession

    async def descriptions(self) -> dict[str, Description]:
        """Of the allowed tools, by name. Raises ToolFailed for a server that lists too many."""
        found: dict[str, Description] = {}
        cursor, seen = None, 0
        for _ in range(MOST_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            listed = await self.session.send_request(types.ListToolsRequest(params=params), types.ListToolsResult)
            seen += len(listed.tools)
            if seen > MOST_TOOLS:
                break
            for tool in listed.tools:
                if tool.name in found:
                    raise ToolFailed(where=self.server.name, detail=f"{tool.name[:60]!r} twice")
                if tool.name in self.server.tools:
                    found[tool.name] = described(self.server.name, tool)
            if (cursor := listed.next_cursor) is None:
                return found
        raise ToolFailed(where=self.server.name, detail=f"more than {MOST_TOOLS} tools or {MOST_PAGES} pages")

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Told:
        """The SDK's own call would hold the result against the server's output schema; for us it is data all the
        same, and the fewer foreign schemas are run the better."""
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        result = await self.session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
        parts = [part.text for part in result.content if isinstance(part, types.TextContent)]
        if not parts and result.structured_content is not None:
            parts = [canonical_json(result.structured_content)]
        text = "\n".join(parts)
        return Told(text[:LONGEST_RESULT], bool(result.is_error), len(text) > LONGEST_RESULT)


@asynccontextmanager
async def visited(server: ToolServer) -> AsyncIterator[Visit]:
    """Raises ToolFailed for whatever goes wrong with it, and when it takes longer than it may."""
    budget = Budget()
    try:
        with anyio.fail_after(server.seconds):
            async with reached(server, budget) as (read, write), ClientSession(read, write) as session:
                await session.initialize()
                yield Visit(server, session)
    except TimeoutError:
        raise ToolFailed(where=server.name, detail=f"> {server.seconds:g} s") from None
    except Exception as error:  # the SDK, its transports and pydantic have many names for a bad answer
        if (own := _own(error)) is not None:
            raise own from None
        raise ToolFailed(where=server.name, detail=budget.problem or _named(error)) from error


def described(server: str, tool: types.Tool) -> Description:
    """All that is shown to anybody of a tool, in one canonical form."""
    told = tool.model_dump(by_alias=True, mode="json", exclude_none=True)
    kept = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
    return Description(server, {key: told[key] for key in kept if key in told})


def _own(error: BaseException) -> So8tError | None:
    """Our own error, out of the groups that task groups put errors into."""
    if isinstance(error, So8tError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((own for one in inner if (own := _own(one)) is not None), None)


def _named(error: BaseException) -> str:
    """What went wrong, in a word: a foreign server's own words do not belong into our messages."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return f"MCP error {error.error.code}"
    return type(error).__name__
