"""What an administrator sees of the office's tools and decides about them; both are in the ledger under his name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so8t.core.errors import ConfigValueInvalid, RecordInvalid, ToolFailed, ToolUnapproved, ToolUnknown
from so8t.core.serve_config import ToolServer
from so8t.decide.policy import Policy
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity
from so8t.operate.tools.client import Visit, visited
from so8t.operate.tools.description import Description, differences
from so8t.operate.tools.pins import PinBook
from so8t.operate.tools.transport import check_server

AT_ONCE = 4  # servers started at the same time: each is a program of some size


@dataclass(slots=True)
class Approvals:
    """The configured servers by name, and which of their tools are approved."""

    gateway: Gateway
    servers: Mapping[str, ToolServer]
    pins: PinBook
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), repr=False)

    def server(self, id: str) -> tuple[ToolServer, str]:
        """(server, name) of SERVER/TOOL. Raises ToolUnknown for any tool that the configuration does not allow."""
        server, _, name = id.partition("/")
        if server not in self.servers or name not in self.servers[server].tools:
            raise ToolUnknown(detail=id[:100])
        return self.servers[server], name

    def approved(self, id: str) -> Description:
        """The tool as it was approved. Raises ToolUnknown, ToolUnapproved."""
        server, _ = self.server(id)
        pin = self.pins.read().get(id)
        if pin is None:
            raise ToolUnapproved(detail=id)
        return Description(server.name, pin.told)

    @asynccontextmanager
    async def visit(self, server: ToolServer) -> AsyncIterator[Visit]:
        """A visit, as soon as there is a place for one."""
        async with self._places, visited(server) as visit:
            yield visit

    async def listed(self) -> list[dict[str, Any]]:
        """Every allowed tool as it describes itself now, against what was approved; servers are asked one by one."""
        rows: list[dict[str, Any]] = []
        for server in self.servers.values():
            try:
                async with self.visit(server) as visit:
                    now, problem = await visit.descriptions(), ""
            except ToolFailed as error:
                now, problem = {}, error.detail
            rows += [self._row(server, name, now.get(name), problem) for name in server.tools]
        return rows

    def _row(self, server: ToolServer, name: str, described: Description | None, problem: str) -> dict[str, Any]:
        pin = self.pins.read().get(f"{server.name}/{name}")
        state = "gone" if described is None else self.pins.state(described)
        told = described.told if described else {}
        return {
            "tool": f"{server.name}/{name}", "state": state, "problem": problem, "effect": server.effect,
            "classification": server.classification, "digest": described.digest if described else "",
            "description": dict(told), "by": pin.by if pin else "", "at": pin.at if pin else "",
            "differences": differences(pin.told if pin else None, told) if state in ("new", "changed") else [],
        }  # fmt: skip

    async def approve(self, identity: Identity, id: str, digest: str) -> None:
        """`digest`: of the description that was read. Raises ToolUnknown, ToolFailed, RecordInvalid."""
        server, name = self.server(id)
        async with self.visit(server) as visit:
            described = (await visit.descriptions()).get(name)
        if described is None:
            raise ToolUnknown(detail=id)
        described.check()
        if described.digest != digest:
            raise RecordInvalid(where="digest", detail=f"{id} now describes itself otherwise: read it again")
        body = {"event": "tool_approved", "actor": identity.name, "tool": id, "digest": digest}
        await self.gateway.note("access", body)
        self.pins.approve(described, digest, identity.name, datetime.now(UTC).isoformat(timespec="seconds"))

    async def revoke(self, identity: Identity, id: str) -> None:
        """Raises ToolUnknown for what is not approved."""
        if id not in self.pins.read():
            raise ToolUnknown(detail=id[:100])
        await self.gateway.note("access", {"event": "tool_revoked", "actor": identity.name, "tool": id})
        self.pins.revoke(id)


def approvals_of(gateway: Gateway, servers: tuple[ToolServer, ...], pins: str, policy: Policy) -> Approvals:
    """Raises ConfigValueInvalid for a wrong server."""
    for number, server in enumerate(servers, 1):
        check_server(server, number)
        if server.classification not in policy.levels.names:
            detail = f"classification = {server.classification!r} ({' < '.join(policy.levels.names)})"
            raise ConfigValueInvalid(where=f"serve.tools[{number}]", detail=detail)
    by_name = {server.name: server for server in servers}
    if len(by_name) != len(servers):
        raise ConfigValueInvalid(where="serve.tools", detail="two of one name")
    return Approvals(gateway, by_name, PinBook(Path(pins)))
