"""The running office over HTTP, as one of its users: what every tool comes to. Judged, limited and recorded there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from so8t.ask.wire import Json
from so8t.core.errors import RecordInvalid
from so8t.operate.office_wire import OfficeWire

BASE = "/so8t/v1"
CHAT = "/v1/chat/completions"
PATHS = (
    CHAT, f"{BASE}/search", f"{BASE}/answer", f"{BASE}/minutes", f"{BASE}/mail", f"{BASE}/requests",
    f"{BASE}/requests/", f"{BASE}/ledger/verify",
)  # fmt: skip
ANSWER_SECONDS = 900.0  # of the longest: minutes of some hours in a model's words
MODEL = "so8t"


class Asked(Protocol):
    """How the office is reached: over HTTP (OfficeWire), or from within (inner.py)."""

    async def get(self, path: str) -> Json: ...
    async def post(self, path: str, body: Json) -> Json: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OfficeClient:
    """`wire` carries who asks. Errors: OfficeDown, OutboundRefused, and what the office raised."""

    wire: Asked

    @classmethod
    def at(cls, address: str, key: str) -> OfficeClient:
        """Raises OfficeDown unless the address is http(s)://IP:PORT."""
        return cls(OfficeWire(address, PATHS, seconds=ANSWER_SECONDS, key=key))

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Raises RecordInvalid for a tool that there is not."""
        called = self._tools().get(tool)
        if called is None:
            raise RecordInvalid(where=tool, detail="no such tool")
        return await called(dict(arguments))

    def _tools(self) -> Mapping[str, Callable[[Json], Awaitable[Json]]]:
        return {
            "ask": self._ask, "search": self._search, "answer": self._answer, "minutes": self._minutes,
            "mail_draft": self._mail, "decision_status": self._status, "ledger_verify": self._verify,
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

    async def _minutes(self, given: Json) -> Json:
        return await self.wire.post(f"{BASE}/minutes", given)

    async def _mail(self, given: Json) -> Json:
        return await self.wire.post(f"{BASE}/mail", given)

    async def _status(self, given: Json) -> Json:
        path = f"{BASE}/requests" + (f"/{int(given['seq'])}" if "seq" in given else "")
        return await self.wire.get(path)

    async def _verify(self, _: Json) -> Json:
        return await self.wire.get(f"{BASE}/ledger/verify")

    async def close(self) -> None:
        await self.wire.close()
