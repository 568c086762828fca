"""Our own model server, killed for real: it comes back, everybody is told, and nobody is answered wrongly meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from office_server import build
from serve_process import new_user, serving

from so8t.ask.llamacpp_server import ServerProcess
from so8t.ask.pool import Pool
from so8t.core.errors import BackendDown, BackendError, ModelStopped
from so8t.core.ledger_read import LedgerReader
from so8t.core.types import Decision, Request
from so8t.operate.embedded import Embedded, KeptServer
from so8t.operate.model_watch import model_watches

CHILD = Path(__file__).parents[1] / "support" / "stand_in_model.py"
PLAIN = "会議の議事録を三行にまとめてください。"
STOPPED = "同梱のモデルのサーバーが止まっています"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


def request(number: int = 1) -> Request:
    return Request(id=f"r{number}", query=PLAIN, clearance="社内限定", user="sato")


class Office:
    """A gateway over a real child; `broken`: how many of the next starts fail."""

    def __init__(self, folder: Path, vectors: bool = False) -> None:
        self.folder, self.broken, self.pauses = folder, 0, list[float]()
        self.keys: list[str] = []
        self.model = KeptServer("model", self._spawn, 10.0)
        self.embedded = Embedded(self.model, KeptServer("vectors", self._spawn, 10.0) if vectors else None)

    def _spawn(self, *, key: str) -> ServerProcess:
        self.keys.append(key)
        broken, self.broken = self.broken > 0, max(0, self.broken - 1)
        return ServerProcess([sys.executable, str(CHILD), *(["broken"] if broken else [])], "stand-in", key)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for server in self.embedded.servers:
            await server.start()
        self.gateway, office, self.ledger, _, authenticator = build(self.folder, self.embedded)
        self.pool = Pool.of([(self.model.address, self.embedded)])
        self.watches = model_watches(self.gateway, self.pool)
        for watch in self.watches:
            watch.sleep = self._sleep
        try:
            yield
        finally:
            await self.embedded.close()
            if office.intake is not None:
                office.intake.close()
            authenticator.close()
            self.ledger.close()

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def kill(self, server: KeptServer) -> None:
        assert server._process is not None
        os.kill(server._process.pid, signal.SIGKILL)
        while server.ended is None:
            await asyncio.sleep(0.01)

    def entries(self) -> list[dict[str, Any]]:
        with LedgerReader(self.folder / "ledger.db") as reader:
            found = reader.entries(kinds=("error", "note"))
        return [e.data for e in found if str(e.data.get("event")).startswith("model_")]


def run(office: Office, story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with office.running():
            await story()

    asyncio.run(main())


def test_killed_it_comes_back_under_another_port_and_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(tmp_path)
    told: list[str] = []

    async def story() -> None:
        office.gateway.error_observers.append(lambda code, *_: told.append(code))
        assert (await office.gateway.ask(request())).verdict.decision is Decision.ALLOW
        before = office.model.address
        await office.kill(office.model)
        reply = await office.gateway.ask(request(2))
        assert reply.verdict.decision is Decision.ESCALATE
        assert STOPPED in reply.text and STOPPED in reply.verdict.reason
        (watch,) = office.watches
        await watch.look()
        assert office.model.address != before and list(office.pool.up()) == [office.model.address]
        assert (await office.gateway.ask(request(3))).verdict.decision is Decision.ALLOW
        await watch.look()  # nothing to do

    run(office, story)
    down, back = office.entries()
    assert down == {"event": "model_down", "error": "A06", "status": -9, "server": "model"}
    assert back["event"] == "model_back" and back["tries"] == 1 and back["seconds"] >= 0
    assert told == ["A06"] and office.pauses == [1] and len(set(office.keys)) == 2
    lines = [record.getMessage() for record in caplog.records if record.name == "so8t.serve"]
    assert "止まりました(signal 9)" in lines[0] and "died" in lines[0]
    assert "1 秒後に起動し直します / started again in 1 s" in lines[1] and "戻りました" in lines[2]


def test_what_does_not_start_is_tried_again_later_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(tmp_path)

    async def story() -> None:
        await office.kill(office.model)
        office.broken = 7
        (watch,) = office.watches
        await watch.look()
        assert office.model.running and watch.tries == 8

    run(office, story)
    assert office.pauses[:6] == [1, 2, 4, 8, 16, 32] and all(590 < pause <= 600 for pause in office.pauses[6:])
    assert [entry["event"] for entry in office.entries()] == ["model_down", "model_back"]
    assert "no memory for it" in caplog.text and "600 秒に 6 回まで" in caplog.text


def test_while_it_is_down_readyz_tells_since_when(tmp_path: Path) -> None:
    office, seen = Office(tmp_path), list[dict[str, Any]]()

    async def story() -> None:
        (watch,) = office.watches

        async def looking(_: float) -> None:
            seen.append(watch.state() | {"up": any(office.pool.up().values())})

        watch.sleep = looking
        await office.kill(office.model)
        office.broken = 1
        await watch.look()
        assert watch.down_since is None

    run(office, story)
    assert [(told["tries"], told["up"]) for told in seen] == [(0, False), (1, False)]
    assert all(told["down_since"] for told in seen)


def test_a_dead_server_of_vectors_keeps_nobody_from_judging(tmp_path: Path) -> None:
    office = Office(tmp_path, vectors=True)

    async def story() -> None:
        vectors = office.embedded.vectors
        assert vectors is not None and await office.pool.embed(["a"]) == [[1.0, 0.0]]
        await office.kill(vectors)
        for _ in range(5):
            with pytest.raises(BackendError) as caught:
                await office.pool.embed(["a"])
            assert not isinstance(caught.value, BackendDown)
        assert (await office.gateway.ask(request())).verdict.decision is Decision.ALLOW
        await office.watches[1].look()
        assert await office.pool.embed(["a"]) == [[1.0, 0.0]] and office.pool.up() == {office.model.address: True}

    run(office, story)
    assert {entry["server"] for entry in office.entries()} == {"vectors"}


def test_without_a_ledger_it_comes_back_all_the_same(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def story() -> None:
        await office.kill(office.model)
        office.ledger.close()
        await office.watches[0].look()
        assert office.model.running

    run(office, story)


def test_closed_while_it_starts_it_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> float:
        silent = [sys.executable, "-c", "import time; time.sleep(60)"]
        server = KeptServer("model", lambda key: ServerProcess(silent, "silent", key), 10.0)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        starting.cancel()
        await server.close()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        with pytest.raises(ModelStopped):
            _ = server.client
        return time.monotonic() - begin

    assert asyncio.run(main()) < 5


def test_models_elsewhere_are_not_ours_to_start(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def story() -> None:
        assert model_watches(office.gateway, office.gateway.answering.upstream) != ()  # type: ignore[arg-type]
        assert model_watches(office.gateway, Pool.of([("http://127.0.0.1:1", office.model.client)])) == ()

    run(office, story)


@pytest.mark.slow
def test_the_embedded_model_of_so8t_serve(tmp_path: Path, micro_run: Path, environment: dict[str, str]) -> None:
    """The real server, the real llama.cpp, a real SIGKILL."""
    (tmp_path / "so8t.toml").write_text("[serve]\nport = 0\n[serve.monitor]\nwatch = []\n", encoding="utf-8")
    key = new_user(tmp_path, environment)
    with serving(tmp_path, environment, micro_run / "bundle", key) as server:
        (child,) = [p for p in psutil.Process(server.pid).children() if "llamacpp_server" in " ".join(p.cmdline())]
        child.kill()
        child.wait(30)
        decision, body = server.ask(PLAIN)
        assert decision == "ESCALATE" and STOPPED in body.decode()
        assert _until(server.address, key, 503)["restarting"]["model"]["down_since"]
        assert _until(server.address, key, 200)["restarting"] == {}
        assert STOPPED not in server.ask(PLAIN)[1].decode()
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "止まりました(signal 9)" in log and "戻りました" in log


def _until(address: str, key: str, status: int, seconds: float = 60.0) -> dict[str, Any]:
    """What /readyz says, once it says it with this status."""
    end = time.monotonic() + seconds
    while (found := _ready(address, key))[0] != status:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found[1]


def _ready(address: str, key: str) -> tuple[int, dict[str, Any]]:
    asked = urllib.request.Request(f"{address}/readyz", headers={"Authorization": f"Bearer {key}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
