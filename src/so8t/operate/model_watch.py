"""Our own model server is started again when it dies. That is told on the terminal, in the ledger, in the event log and
in /readyz; requests meanwhile go to people, and are told why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from so8t.ask.pool import Pool, Replica
from so8t.ask.restarts import MOST, SPAN_SECONDS, Restarts
from so8t.core.errors import BackendDown, LedgerError, ModelStopped
from so8t.operate.embedded import Embedded, KeptServer
from so8t.operate.gateway import Gateway

LOOK_SECONDS = 0.5
logger = logging.getLogger("so8t.serve")


@dataclass(slots=True)
class ModelWatch:
    """Give watch() to the background. `replica`: its place in the pool, if requests are judged by it; `down_since`:
    when it was found dead, None while it runs; `tries`: of starting it, since then."""

    gateway: Gateway
    server: KeptServer
    replica: Replica | None = None
    restarts: Restarts = field(default_factory=Restarts)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    down_since: datetime | None = None
    tries: int = 0

    async def watch(self) -> None:
        """For ever."""
        while True:
            await self.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Returns once it runs."""
        if self.server.running:
            return
        await self._down()
        while not await self._started():
            pass
        await self._back()

    def state(self) -> dict[str, Any]:
        """For /readyz, while it is down."""
        since = self.down_since.isoformat(timespec="seconds") if self.down_since else None
        return {"down_since": since, "tries": self.tries}

    async def _down(self) -> None:
        status = self.server.ended
        self.down_since, self.tries = self.gateway.now(), 0
        if self.replica is not None:
            self.replica.healthy = False
        logger.warning("%s", _died(self.server.name, status))
        await self._note("error", {"event": "model_down", "error": ModelStopped.code, "status": status})

    async def _started(self) -> bool:
        """One try, after its pause."""
        pause = self.restarts.pause()
        logger.warning("%s", _again(pause, self.restarts.spent))
        await self.sleep(pause)
        self.restarts.tried()
        self.tries += 1
        try:
            await self.server.start()
        except BackendDown as error:
            logger.warning("%s", f"  起動できません / could not be started: {error.detail}")
            return False
        return True

    async def _back(self) -> None:
        assert self.down_since is not None
        seconds = round((self.gateway.now() - self.down_since).total_seconds(), 1)
        self.down_since = None
        if self.replica is not None:
            self.replica.back(self.server.address)
        logger.warning("%s", _returned(self.server.name, self.tries, seconds))
        await self._note("note", {"event": "model_back", "tries": self.tries, "seconds": seconds})

    async def _note(self, kind: str, body: dict[str, Any]) -> None:
        """The model comes back also where the ledger does not: then nothing is answered, whoever judges."""
        try:
            await self.gateway.note(kind, body | {"actor": "server", "server": self.server.name})
        except LedgerError as error:
            logger.warning("%s: %s", body["event"], error.code)


def model_watches(gateway: Gateway, pool: Pool) -> tuple[ModelWatch, ...]:
    """One for each server of ours; none where the model runs elsewhere."""
    return tuple(
        ModelWatch(gateway, server, replica if server is replica.backend.model else None)
        for replica in pool.replicas
        if isinstance(replica.backend, Embedded)
        for server in replica.backend.servers
    )


def _died(name: str, status: int | None) -> str:
    how = "?" if status is None else f"signal {-status}" if status < 0 else f"exit {status}"
    ja = f"モデルのサーバー({name})が止まりました({how})。戻るまで、モデルの判定が要る依頼は人へ回ります"
    return f"{ja} / the model server ({name}) died ({how}); until it is back, what it would judge goes to people"


def _again(pause: float, spent: bool) -> str:
    limit = f"({SPAN_SECONDS:g} 秒に {MOST} 回まで / {MOST} times in {SPAN_SECONDS:g} s)" if spent else ""
    return f"  {pause:.0f} 秒後に起動し直します / started again in {pause:.0f} s{limit}"


def _returned(name: str, tries: int, seconds: float) -> str:
    ja = f"モデルのサーバー({name})が戻りました({tries} 回目、{seconds:g} 秒)"
    return f"{ja} / the model server ({name}) is back (try {tries}, {seconds:g} s)"
