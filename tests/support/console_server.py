"""A real server with its console on loopback: real ledger, accounts, queue, policy watch; only the model is a fake."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from argon2.profiles import CHEAPEST
from office_server import ANY, CHAT, POLICY

from so8t.ask.backend import Upstream
from so8t.ask.pool import Pool
from so8t.core import signing
from so8t.core.bundle import Bundle
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.progress import Progress
from so8t.core.serve_config import (
    IdentityConfig,
    LedgerConfig,
    MailConfig,
    NotifyConfig,
    SearchConfig,
    SearchFolder,
    ServeConfig,
)
from so8t.core.types import Domain, Levels
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy
from so8t.decide.policy_sections import FourEyes
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import Case, PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answering
from so8t.operate.console.routes import routes
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.eventlog.sinks import sinks_of
from so8t.operate.gateway import Gateway
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Role
from so8t.operate.intake.intake import intake_of
from so8t.operate.policy_watch import PolicyWatch
from so8t.operate.review.notify import Notifier
from so8t.operate.review.queue import ReviewQueue
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import update
from so8t.operate.search.service import search_of
from so8t.operate.search.store import IndexStore
from so8t.operate.server.guard import Guard
from so8t.operate.server.protocol import GuardedHttp
from so8t.operate.server.run import app_of, office_of
from so8t.operate.serving import Running, bundle_body, text_key
from so8t.operate.works import works_of

Clock = Callable[[], datetime]
PASSWORD = "垣根の曲り角 たき火"
PEOPLE: dict[str, tuple[set[Role], str]] = {
    "kanri": ({Role.ADMIN}, "極秘"),
    "sato": ({Role.USER}, "社内限定"),
    "suzuki": ({Role.USER}, "社内限定"),
    "shonin": ({Role.REVIEWER}, "部外秘"),
    "futari": ({Role.REVIEWER}, "極秘"),
    "kansa": ({Role.AUDITOR}, "極秘"),
}
CARD_HTML = b"<!doctype html><title>card</title><style>body{color:#123}</style><p>card of the bundle</p>"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Server:
    """What a test needs of it. Everything in it may be changed while it runs."""

    address: str
    running: Running
    loop: asyncio.AbstractEventLoop
    folder: Path

    def do(self, coroutine: Any) -> Any:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)


def bundle(folder: Path) -> Bundle:
    """As much of a bundle as the console looks at: a card that says that it measured nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "schema": 1, "name": "見本", "profile": "micro", "created": "2026-11-26T09:00:00+09:00",
        "policy": {"id": "demo"}, "payload_digest": "ab" * 32,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / "card.html").write_bytes(CARD_HTML)
    (folder / "bundle.json").write_text("{}", encoding="utf-8")
    files = {"card.html": hashlib.sha256(CARD_HTML).hexdigest()}
    return Bundle(folder, {"payload_digest": "ab" * 32, "files": files}, None)


def config(folder: Path, **identity: Any) -> ServeConfig:
    ledger = LedgerConfig(str(folder / "ledger.db"), str(folder / "ledger.key"), str(folder / "text.key"))
    who = IdentityConfig(**{"users": str(folder / "users.db"), "requests_per_minute": 100_000, **identity})
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    folders = (SearchFolder(str(documents), "総務", "社内限定", (("*役員*", "極秘"),)),)
    return ServeConfig(
        ledger=ledger, identity=who, notify=NotifyConfig(file=str(folder / "notify.jsonl")),
        search=SearchConfig(str(folder / "search.db"), folders=folders), mail=MailConfig(("example.co.jp",)),
    )  # fmt: skip


@asynccontextmanager
async def office(
    folder: Path, backend: Upstream, settings: ServeConfig, *, policy: Policy = POLICY, cases: list[Case] | None = None,
    found: Bundle | None = None, unproven: str = "", domains: DomainModel = ANY, clock: Clock = now,
) -> AsyncIterator[Running]:  # fmt: skip
    """As serving.running_office makes it, with a fake in place of the model, and a clock that may be moved."""
    pool = Pool.of([("stand-in", backend)])
    precedents = PrecedentStore(cases or [])
    model = ModelJudge(backend, CHAT, "compact", 1.0)
    judge = TripleJudge(policy, model, precedents, domains, Calibration(), sparing=True)
    path, key = Path(settings.ledger.path), signing.load_or_create(Path(settings.ledger.key))
    with Ledger(path, key, text_key(settings.ledger), clock=clock) as ledger:
        answering = Answering(pool)
        gateway = Gateway(judge, ledger, answering, *works_of(answering, settings.mail), now=clock)
        found = found or bundle(folder / "bundle")
        await gateway.note("bundle", bundle_body(found, unproven))
        watch = PolicyWatch(gateway, policy, Path(settings.policy) if settings.policy else None, bool(unproven))
        await watch.start()

        async def record(event: str, body: Any) -> None:
            await gateway.note("access", {"event": event, **body})

        def levels() -> Levels:
            return gateway.judge.policy.levels

        authenticator = Authenticator(settings.identity, levels, record, secure=False, hashing=CHEAPEST)
        await authenticator.start()
        reader = LedgerReader(path, text_key(settings.ledger))
        reviews = ReviewQueue(gateway, reader, clock, learn=precedents.add)
        notifier = Notifier(settings.notify, "http://127.0.0.1/review")
        events, intake = EventLog(sinks_of(settings.ledger), clock), intake_of(settings.intake)
        gateway.observers += [notifier.observe, events.observe]
        search = search_of(gateway, settings.search)
        try:
            yield Running(
                settings, found, "Q8_0", 4096, pool, gateway, watch, reader, reviews, notifier, events, authenticator,
                unproven, search=search, intake=intake,
            )  # fmt: skip
        finally:
            for one in (search, intake):
                if one is not None:
                    one.close()
            await gateway.settled()
            events.close()
            authenticator.close()


def application(running: Running, runs: Path) -> Guard:
    made = office_of(running)
    return app_of(running, made, routes(running, made, runs))


@contextmanager
def serving(
    folder: Path, backend: Upstream, settings: ServeConfig | None = None, *, people: bool = True,
    runs: Path | None = None, **options: Any,
) -> Iterator[Server]:  # fmt: skip
    """The server in a thread of its own, for the time of the block. All of PEOPLE have PASSWORD."""
    ready, stop = threading.Event(), threading.Event()
    box: dict[str, Any] = {}

    async def main() -> None:
        async with office(folder, backend, settings or config(folder), **options) as running:
            for name, (roles, clearance) in PEOPLE.items() if people else ():
                accounts = running.authenticator.accounts
                await accounts.add(name, roles=roles, clearance=clearance, by="test", password=PASSWORD)
            app = application(running, runs or folder / "runs")
            server = uvicorn.Server(uvicorn.Config(
                app, host="127.0.0.1", port=0, http=GuardedHttp, ws="none", lifespan="off", access_log=False,
                log_level="warning", server_header=False, proxy_headers=False,
            ))  # fmt: skip
            task = asyncio.create_task(server._serve())  # serve() would take the signals of the test run
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            box["server"] = Server(f"http://127.0.0.1:{port}", running, asyncio.get_running_loop(), folder)
            ready.set()
            await asyncio.to_thread(stop.wait)
            server.should_exit = True
            await task

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            box["error"] = error
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    if "error" in box:
        raise box["error"]
    try:
        yield box["server"]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def indexed(server: Server, **texts: str) -> None:
    """Files of these names and texts where the server looks for documents, found from now on."""
    running = server.running
    for name, text in texts.items():
        (server.folder / "documents" / f"{name}.txt").write_text(text, encoding="utf-8")
    policy = running.policy.policy
    store = IndexStore(Path(running.config.search.index), policy.levels.names, write=True)
    update(store, folders_of(running.config.search, policy), policy, Progress(stream=io.StringIO()))
    store.close()


def eyes(*domains: Domain, policy: Policy = POLICY) -> Policy:
    """The same policy with two reviewers for these domains and for nothing else."""
    four = (FourEyes(frozenset(), frozenset(domains), frozenset()),) if domains else ()
    return dataclasses.replace(policy, review=dataclasses.replace(policy.review, four_eyes=four))
