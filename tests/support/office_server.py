"""A real server on loopback, over a real ledger and real accounts; only the model behind it is a fake."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from so8t.ask.backend import FakeBackend, Upstream
from so8t.ask.pool import Pool
from so8t.core import signing
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.packaged import policy_text
from so8t.core.sealing import TextKey
from so8t.core.serve_config import IdentityConfig, IntakeConfig, MailConfig, SearchConfig, ServeConfig
from so8t.core.types import DECISIONS
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answering
from so8t.operate.gateway import Gateway
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Role
from so8t.operate.intake.intake import intake_of
from so8t.operate.mcp.http import routes as mcp_routes
from so8t.operate.review.queue import ReviewQueue
from so8t.operate.search.service import search_of
from so8t.operate.senses.service import Senses
from so8t.operate.server.agents import routes as agent_routes
from so8t.operate.server.app import application
from so8t.operate.server.documents import routes as document_routes
from so8t.operate.server.ledger_state import routes as ledger_routes
from so8t.operate.server.metrics import Metrics
from so8t.operate.server.metrics import routes as metric_routes
from so8t.operate.server.office import Office
from so8t.operate.server.office_work import routes as work_routes
from so8t.operate.server.protocol import GuardedHttp
from so8t.operate.server.reviews import routes as review_routes
from so8t.operate.server.senses import routes as sense_routes
from so8t.operate.serving import agents_of
from so8t.operate.works import works_of

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
# What the fake model thinks of a request that holds these words.
SCORES = {"人に聞く": [0.0, 9.0, 0.0], "禁じる": [0.0, 0.0, 9.0], "": [9.0, 0.0, 0.0]}
NO_FOLDERS = SearchConfig()
MAIL = MailConfig(("example.co.jp",))
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
    gateway: Gateway
    office: Office
    reader: LedgerReader
    ledger_path: Path
    text_key: TextKey
    loop: asyncio.AbstractEventLoop

    def headers(self, who: str = "user") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}


def build(
    folder: Path, backend: Upstream, texts: TextKey | None = None, folders: SearchConfig = NO_FOLDERS,
    settings: ServeConfig | None = None,
) -> tuple[Gateway, Office, Any, Ledger, TextKey, Authenticator]:  # fmt: skip
    """`settings`: with agents, as they say; what they say of documents holds instead of `folders`."""
    texts = texts or TextKey.generate()
    ledger = Ledger(folder / "ledger.db", signing.load_or_create(folder / "ledger.key"), texts)
    pool = Pool.of([("fake", backend)])
    model = ModelJudge(pool, CHAT, "compact", 1.0)
    judge = TripleJudge(POLICY, model, PrecedentStore([]), ANY, Calibration(), sparing=True)
    answering = Answering(pool)
    gateway = Gateway(judge, ledger, answering, *works_of(answering, MAIL))

    async def record(event: str, body: Any) -> None:
        await gateway.note("access", {"event": event, **body})

    config = IdentityConfig(users=str(folder / "users.db"), requests_per_minute=100_000)
    authenticator = Authenticator(config, lambda: gateway.judge.policy.levels, record, secure=False)
    details = {"size": 1, "digest": "d", "details": {"family": "so8t", "parameter_size": "", "quantization_level": ""}}
    office = Office(gateway, authenticator, "so8t", 1_700_000_000, 512, details, intake_of(IntakeConfig()))
    metrics = Metrics()
    gateway.observers.append(metrics.observe)
    reviews = ReviewQueue(gateway, LedgerReader(folder / "ledger.db", texts), learn=judge.precedents.add)
    routes = [*metric_routes(office, metrics, pool.up), *review_routes(office, reviews), *ledger_routes(office)]
    routes += [*work_routes(office, MAIL), *mcp_routes(office, ("127.0.0.1", "localhost"))]
    if (search := search_of(gateway, settings.search if settings else folders)) is not None:
        routes += document_routes(office, search)
    if settings is not None:
        office.agents = agents_of(settings, gateway, search, reviews)
        routes += [*agent_routes(office, office.agents), *sense_routes(office, Senses(settings.senses))]
    app = application(office, routes, hosts=("127.0.0.1", "localhost"), concurrent=64)
    return gateway, office, app, ledger, texts, authenticator


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
    """The server in a thread of its own, for the time of the block."""
    ready, stop = threading.Event(), threading.Event()
    box: dict[str, Any] = {}

    async def main() -> None:
        gateway, office, app, ledger, texts, authenticator = build(folder, backend, None, folders, settings)
        box["keys"] = await people(authenticator)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, http=GuardedHttp, ws="none", lifespan="off", access_log=False,
            log_level="warning", server_header=False, proxy_headers=False,
        )  # fmt: skip
        served = uvicorn.Server(config)
        served.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(served._serve())  # serve() would take the signals of the test run
        while not served.started:
            await asyncio.sleep(0.01)
        port = served.servers[0].sockets[0].getsockname()[1]
        reader = LedgerReader(folder / "ledger.db", texts)
        box["server"] = Server(
            f"http://127.0.0.1:{port}", box["keys"], backend, gateway, office, reader, folder / "ledger.db",
            texts, asyncio.get_running_loop(),
        )  # fmt: skip
        ready.set()
        await asyncio.to_thread(stop.wait)
        served.should_exit = True
        await task
        await gateway.settled()
        if office.intake is not None:
            office.intake.close()
        authenticator.close()
        ledger.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield box["server"]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
