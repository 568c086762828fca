"""The product's own office and server on loopback, over a real ledger and real accounts; only the model is a fake."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from argon2.profiles import CHEAPEST

from so8t.ask.backend import FakeBackend, Upstream
from so8t.ask.pool import Pool
from so8t.core.bundle import Bundle
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.packaged import policy_text
from so8t.core.sealing import TextKey
from so8t.core.serve_config import (
    AgentsConfig,
    IdentityConfig,
    LedgerConfig,
    MailConfig,
    MonitorConfig,
    SearchConfig,
    ServeConfig,
)
from so8t.core.types import DECISIONS
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import Case, PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate import serving
from so8t.operate.answering import Answering
from so8t.operate.gateway import Gateway
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Role
from so8t.operate.intake.intake import intake_of
from so8t.operate.server.guard import Guard
from so8t.operate.server.listening import bound
from so8t.operate.server.office import Office
from so8t.operate.server.run import MODEL, app_of, office_of, serve
from so8t.operate.serving import Clock, Running, Served, authenticator_of, open_ledger, text_key, utc_now
from so8t.operate.works import works_of

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
# What the fake model thinks of a request that holds these words.
SCORES = {"人に聞く": [0.0, 9.0, 0.0], "禁じる": [0.0, 0.0, 9.0], "": [9.0, 0.0, 0.0]}
NO_FOLDERS = SearchConfig()
MAIL = MailConfig(("example.co.jp",))
CARD_HTML = b"<!doctype html><title>card</title><style>body{color:#123}</style><p>card of the bundle</p>"
ANSWER = "三行にまとめました。一つめは予算です。二つめは人です。"


PEOPLE: dict[str, tuple[set[Role], str]] = {
    "admin": ({Role.ADMIN, Role.USER}, "極秘"),
    "user": ({Role.USER}, "社内限定"),
    "reviewer": ({Role.REVIEWER}, "部外秘"),
    "auditor": ({Role.AUDITOR}, "極秘"),
}


@dataclass
class Server:
    """What a test needs of the running server. Everything in it may be changed while it runs."""

    address: str
    keys: dict[str, str]
    backend: FakeBackend
    running: Running
    loop: asyncio.AbstractEventLoop

    @property
    def gateway(self) -> Gateway:
        return self.running.gateway

    @property
    def reader(self) -> LedgerReader:
        return self.running.reader

    @property
    def ledger_path(self) -> Path:
        return Path(self.running.config.ledger.path)

    def headers(self, who: str = "user") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}


def judge_of(
    backend: Upstream, policy: Policy = POLICY, cases: Sequence[Case] = (), domains: DomainModel = ANY
) -> TripleJudge:
    model = ModelJudge(backend, CHAT, "compact", 1.0)
    return TripleJudge(policy, model, PrecedentStore(cases), domains, Calibration(), sparing=True)


def build(folder: Path, backend: Upstream) -> tuple[Gateway, Office, Ledger, TextKey, Authenticator]:
    """A gateway over a real ledger, and who is who, of which nothing runs yet: the least that a question needs."""
    config = configured(folder)
    ledger = open_ledger(config.ledger)
    pool = Pool.of([("fake", backend)])
    answering = Answering(pool)
    gateway = Gateway(judge_of(pool), ledger, answering, *works_of(answering, MAIL))
    authenticator = authenticator_of(config, gateway)
    office = Office(gateway, authenticator, MODEL, 1_700_000_000, 512, {}, intake_of(config.intake))
    return gateway, office, ledger, text_key(config.ledger), authenticator


def configured(folder: Path, asked: ServeConfig | None = None) -> ServeConfig:
    """What is asked for, with all that is kept in this folder; without agents and monitor where nothing is asked."""
    asked = asked or ServeConfig(agents=AgentsConfig(packaged=False))
    return dataclasses.replace(
        asked, port=0, concurrent=64, mail=MAIL, monitor=MonitorConfig(watch=()),
        ledger=LedgerConfig(str(folder / "ledger.db"), str(folder / "ledger.key"), str(folder / "text.key")),
        identity=IdentityConfig(users=str(folder / "users.db"), requests_per_minute=100_000),
    )  # fmt: skip


def bundle(folder: Path) -> Bundle:
    """As much of a bundle as the skins look at: a card that says that it measured nothing."""
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


def closed_ledger(folder: Path) -> Ledger:
    """One that takes nothing any more. The office's own is wanted open for the entry of its end."""
    with open_ledger(configured(folder).ledger) as ledger:
        return ledger


@asynccontextmanager
async def office(
    folder: Path, backend: Upstream, config: ServeConfig, judge: TripleJudge | None = None, *,
    found: Bundle | None = None, unproven: str = "", clock: Clock = utc_now,
) -> AsyncIterator[Running]:  # fmt: skip
    """The product's own, with a fake in place of the model, and a clock that may be moved. Its work is not run."""
    pool = Pool.of([("stand-in", backend)])
    served = Served(found or bundle(folder / "bundle"), "Q8_0", 4096, pool, judge or judge_of(pool), unproven)
    with open_ledger(config.ledger, clock) as ledger:
        async with serving.office(config, ledger, served, bool(unproven), clock=clock, hashing=CHEAPEST) as running:
            yield running


async def people(authenticator: Authenticator) -> dict[str, str]:
    """One key for each kind of user."""
    keys = {}
    for name, (roles, clearance) in PEOPLE.items():
        await authenticator.accounts.add(name, roles=roles, clearance=clearance, by="test")
        keys[name] = (await authenticator.keys.issue(name, roles=roles, by="test")).secret
    return keys


@contextmanager
def running(
    folder: Path, backend: FakeBackend, folders: SearchConfig = NO_FOLDERS, settings: ServeConfig | None = None
) -> Iterator[Server]:
    """The server for the time of the block. `settings`: what they say of documents holds instead of `folders`."""
    config = configured(folder, settings)
    if settings is None:
        config = dataclasses.replace(config, search=folders)
    keys: dict[str, str] = {}

    async def prepared(running: Running) -> Guard:
        keys.update(await people(running.authenticator))
        return app_of(running, office_of(running))

    with listening(office(folder, backend, config), prepared) as (address, made, loop):
        yield Server(address, keys, backend, made, loop)


@contextmanager
def listening(
    office: AbstractAsyncContextManager[Running], prepared: Callable[[Running], Awaitable[Guard]]
) -> Iterator[tuple[str, Running, asyncio.AbstractEventLoop]]:
    """An office behind the product's server in a thread of its own, for the time of the block."""
    ready, stop = threading.Event(), threading.Event()
    box: list[Any] = []

    async def main() -> None:
        async with office as running:
            app = await prepared(running)

            def told(address: str) -> None:
                box[:] = [address, running, asyncio.get_running_loop()]
                ready.set()

            with bound(running.config.address, running.config.port) as at:
                await serve(running, app, at, told, stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            box[:] = [error]
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    if isinstance(box[0], BaseException):
        raise box[0]
    try:
        yield box[0], box[1], box[2]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
