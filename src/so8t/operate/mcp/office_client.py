"""The running office over HTTP, as one of its users: what every tool comes to. Judged, limited and recorded there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from so8t.ask.wire import Json, Wire
from so8t.core.errors import RecordInvalid

BASE = "/so8t/v1"
CHAT = "/v1/chat/completions"
PATHS = (CHAT, f"{BASE}/search", f"{BASE}/answer", f"{BASE}/requests", f"{BASE}/requests/", f"{BASE}/ledger/verify")
ANSWER_SECONDS = 300.0
MODEL = "so8t"


@dataclass(frozen=True, slots=True)
class OfficeClient:
    """`wire` carries the user's API key. Errors are those of Wire: BackendDown, BackendProtocol, OutboundRefused."""

    wire: Wire

    @classmethod
    def at(cls, address: str, key: str) -> OfficeClient:
        """Raises BackendDown unless the address is http(s)://IP:PORT."""
        return cls(Wire(address, PATHS, seconds=ANSWER_SECONDS, key=key))

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Raises RecordInvalid for a tool that there is not."""
        called = self._tools().get(tool)
        if called is None:
            raise RecordInvalid(where=tool, detail="no such tool")
        return await called(dict(arguments))

    def _tools(self) -> Mapping[str, Callable[[Json], Awaitable[Json]]]:
        return {
            "ask": self._ask, "search": self._search, "answer": self._answer,
            "decision_status": self._status, "ledger_verify": self._verify,
        }  # fmt: skip

    async def _ask(self, given: Json) -> Json:
        body: Json = {"model": MODEL, "messages": [{"role": "user", "content": given["query"]}]}
        if "classification" in given:
            body["so8t"] = {"classification": given["classification"]}
        told = await self.wire.post(CHAT, body)
        choices = told.get("choices") or [{}]
        return {"answer": choices[0].get("message", {}).get("content", ""), **told.get("so8t", {})}

    async def _search(self, given: Json) -> Json:
        return await self.wire.post(f"{BASE}/search", given)

    async def _answer(self, given: Json) -> Json:
        return await self.wire.post(f"{BASE}/answer", given)

    async def _status(self, given: Json) -> Json:
        path = f"{BASE}/requests" + (f"/{int(given['seq'])}" if "seq" in given else "")
        return await self.wire.get(path)

    async def _verify(self, _: Json) -> Json:
        return await self.wire.get(f"{BASE}/ledger/verify")

    async def close(self) -> None:
        await self.wire.close()
