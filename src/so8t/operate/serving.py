"""A verified bundle -> a running judge, and a running office: model, judges, ledger, gateway, who is who, HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from argon2 import Parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.ask.pool import Pool
from so8t.core import sealing, signing
from so8t.core.bundle import LISTING, Bundle, open_bundle
from so8t.core.errors import BundleUnproven, ConfigValueInvalid
from so8t.core.files import read_json
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import LedgerConfig, ServeConfig
from so8t.judge.triple import PROMPT, TripleJudge, load_triple, read_calibration
from so8t.operate.agents.catalogue import catalogue_of
from so8t.operate.agents.desk import AgentDesk
from so8t.operate.answering import Answering
from so8t.operate.background import beside
from so8t.operate.drift import Drift, drift_of
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.eventlog.sinks import sinks_of
from so8t.operate.gateway import Gateway
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.intake.intake import Intake, intake_of
from so8t.operate.intake.sweep import Sweep
from so8t.operate.mail.making import highest_inside
from so8t.operate.model_watch import ModelWatch, model_watches
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.office import monitor_of
from so8t.operate.policy_watch import PolicyWatch
from so8t.operate.review.notify import Notifier
from so8t.operate.review.queue import ReviewQueue
from so8t.operate.search.service import DocumentSearch, search_of
from so8t.operate.senses.service import Senses
from so8t.operate.upstream import running_upstream
from so8t.operate.works import works_of

SLOTS = 2
Clock = Callable[[], datetime]


@asynccontextmanager
async def running_judge(
    folder: Path, trusted_key: Path | None, *, allow_unproven: bool = False, threads: int = 1
) -> AsyncIterator[tuple[Bundle, TripleJudge, LlamaCpp]]:
    """Raises BundleBroken, SignatureInvalid, BundleUnproven before any model is started."""
    bundle = open_bundle(folder, trusted_key)
    if not allow_unproven:
        bundle.require_proof()
    prompt = read_json(folder / PROMPT)
    quantisation, context = str(prompt["deploy"]), int(prompt["context"])
    calibration = read_calibration(folder, quantisation)
    with serve(bundle.gguf(quantisation), context, slots=SLOTS, threads=threads) as address:
        backend = LlamaCpp(address)
        try:
            yield bundle, load_triple(folder, backend, calibration, bundle.payload_digest), backend
        finally:
            await backend.close()


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Served:
    """The model of an office: its bundle, the judge made of that, and where it runs. `unproven`: as in Running."""

    bundle: Bundle
    quantisation: str
    context: int
    pool: Pool
    judge: TripleJudge
    unproven: str = ""


@dataclass(slots=True)
class Running:
    """A running office without its skins. `unproven`: why the bundle should not be trusted, or "". `work`: what is to
    be done beside answering, for as long as it runs."""

    config: ServeConfig
    bundle: Bundle
    quantisation: str
    context: int
    pool: Pool
    gateway: Gateway
    policy: PolicyWatch
    reader: LedgerReader
    reviews: ReviewQueue
    notifier: Notifier
    events: EventLog
    authenticator: Authenticator
    senses: Senses
    agents: AgentDesk
    unproven: str
    work: Sequence[Callable[[], Awaitable[Any]]]
    drift: Drift | None = None
    search: DocumentSearch | None = None
    monitor: Monitor | None = None
    intake: Intake | None = None
    models: tuple[ModelWatch, ...] = ()


@asynccontextmanager
async def running_office(
    config: ServeConfig, folder: Path, trusted_key: Path | None, *, allow_unproven: bool = False
) -> AsyncIterator[Running]:
    """Everything behind the skins, until the block ends; then every answer under way has its entry.

    Raises BundleBroken, SignatureInvalid, BundleUnproven, PolicyInvalid, LedgerError, BackendDown, AccountsBroken,
    ConfigValueInvalid, SenseUnusable before anybody is answered.
    """
    check_exposure(config)
    await asyncio.to_thread(Senses(config.senses).check)
    sinks_of(config.ledger)  # what this machine cannot be told by is refused before a model is started
    bundle, unproven = _proven(folder, trusted_key, allow_unproven)
    prompt = read_json(folder / PROMPT)
    quantisation, context = str(prompt["deploy"]), int(prompt["context"])
    calibration = read_calibration(folder, quantisation)
    with open_ledger(config.ledger) as ledger:
        async with running_upstream(config.upstream, bundle, quantisation, context) as pool:
            judge = load_triple(folder, pool, calibration, bundle.payload_digest)
            judge = dataclasses.replace(judge, sparing=True, model_seconds=config.judge_seconds)
            served = Served(bundle, quantisation, context, pool, judge, unproven)
            async with office(config, ledger, served, allow_unproven) as running, beside(running.work):
                yield running


@asynccontextmanager
async def office(
    config: ServeConfig, ledger: Ledger, served: Served, allow_unproven: bool = False, *,
    clock: Clock = utc_now, hashing: Parameters = RFC_9106_LOW_MEMORY,
) -> AsyncIterator[Running]:  # fmt: skip
    """All that stands around a model, put together; `work` of it is still to be run. Raises as running_office()."""
    bundle, pool, judge = served.bundle, served.pool, served.judge
    async with AsyncExitStack() as stack:
        answering = Answering(pool, served.context, config.answer_seconds)
        gateway = Gateway(judge, ledger, answering, *works_of(answering, config.mail), now=clock)
        events = EventLog(sinks_of(config.ledger), clock)
        stack.push_async_callback(_stopped, gateway, events)
        events.begin(ledger.head)
        gateway.observers.append(events.observe)
        gateway.error_observers.append(events.error)
        await gateway.note("bundle", bundle_body(bundle, served.unproven))
        policy = PolicyWatch(gateway, judge.policy, Path(config.policy) if config.policy else None, allow_unproven)
        await policy.start()
        highest_inside(gateway.judge.policy, config.mail)
        authenticator = authenticator_of(config, gateway, hashing)
        stack.callback(authenticator.close)
        await authenticator.start()
        reader = stack.enter_context(LedgerReader(ledger.path, text_key(config.ledger)))
        reviews = ReviewQueue(gateway, reader, clock, learn=judge.precedents.add)
        await reviews.cases()  # what people decided before are precedents from the first request on
        notifier = Notifier(config.notify, f"{address(config)}/console/review")
        gateway.observers.append(notifier.observe)
        models = model_watches(gateway, pool)
        work = [policy.watch, reviews.sweep, notifier.run, events.run, Sweep(gateway.kept, reader).watch]
        work += [model.watch for model in models]
        drift = drift_of(gateway, {} if served.unproven else bundle.card, served.quantisation)
        if drift is not None:
            gateway.observers.append(drift.observe)
            work.append(drift.watch)
        search = search_of(gateway, config.search)
        if search is not None:
            stack.callback(search.close)
            work.append(search.watch)
        page = f"{address(config)}/console/monitor"
        monitor = monitor_of(config, gateway, bundle, pool.up, reader, events, notifier, page)
        if monitor is not None:
            work.append(monitor.watch)
        intake = intake_of(config.intake)
        if intake is not None:
            stack.callback(intake.close)
        senses = Senses(config.senses)
        stack.callback(senses.close)
        agents = agents_of(config, gateway, search, reviews)
        await gateway.note("note", agents.catalogue.ledger_body())
        yield Running(
            config=config, bundle=bundle, quantisation=served.quantisation, context=served.context, pool=pool,
            gateway=gateway, policy=policy, reader=reader, reviews=reviews, notifier=notifier, events=events,
            authenticator=authenticator, senses=senses, agents=agents, unproven=served.unproven, work=work,
            drift=drift, search=search, monitor=monitor, intake=intake, models=models,
        )  # fmt: skip


def agents_of(config: ServeConfig, gateway: Gateway, search: DocumentSearch | None, reviews: ReviewQueue) -> AgentDesk:
    """The agents of this office and their tools. Raises ConfigValueInvalid."""
    policy = gateway.judge.policy
    catalogue = catalogue_of(config, policy)
    gateway.agents = {name: agent.narrowing() for name, agent in catalogue.agents.items()}
    desk = AgentDesk(gateway, catalogue, search, None, config.agents.calls)
    if config.tools:  # an office without tools does not load what speaks to them
        from so8t.operate.tools.approval import approvals_of
        from so8t.operate.tools.calling import ToolDesk

        desk.tools = ToolDesk(gateway, approvals_of(gateway, config.tools, config.agents.pins, policy), reviews)
    return desk


async def _stopped(gateway: Gateway, events: EventLog) -> None:
    """Every answer under way has its entry, the ledger says that the server went on purpose, the event log is told."""
    await gateway.settled()
    try:
        await gateway.note("note", {"event": "stopped", "actor": "server"})
    finally:
        await events.flush()
        events.close()


def open_ledger(config: LedgerConfig, clock: Clock = utc_now) -> Ledger:
    """The writer. Its folder and its keys are made at the first start."""
    path = Path(config.postgres_file or config.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = signing.load_or_create(Path(config.key))
    return Ledger(path, key, text_key(config), anchor_seconds=config.anchor_seconds, clock=clock)


def text_key(config: LedgerConfig) -> sealing.TextKey:
    return sealing.load_or_create(Path(config.text_key))


def check_exposure(config: ServeConfig) -> None:
    """Plain HTTP only on this machine, or behind a proxy that is named. Raises ConfigValueInvalid."""
    try:
        address = ipaddress.ip_address(config.address)
    except ValueError:
        raise ConfigValueInvalid(where="serve.address", detail=f"{config.address!r}: a literal address") from None
    if bool(config.tls.certificate) != bool(config.tls.key):
        raise ConfigValueInvalid(where="serve.tls", detail="certificate and key belong together")
    if not address.is_loopback and not config.tls.certificate and not config.identity.proxy.addresses:
        detail = f"{config.address} without serve.tls: passwords and answers would pass in the clear"
        raise ConfigValueInvalid(where="serve.address", detail=detail)


def address(config: ServeConfig) -> str:
    """How people write it; with its first name where it has one."""
    name = config.hosts[0] if config.hosts else config.address
    named = f"[{name}]" if ":" in name else name
    return f"{'https' if config.tls.certificate else 'http'}://{named}:{config.port}"


def hosts(config: ServeConfig) -> tuple[str, ...]:
    """The names under which this server may be asked."""
    own = {config.address, *(("localhost", "127.0.0.1", "::1") if _is_loopback(config.address) else ())}
    return (*sorted(own), *config.hosts)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _proven(folder: Path, trusted_key: Path | None, allow_unproven: bool) -> tuple[Bundle, str]:
    bundle = open_bundle(folder, trusted_key)
    try:
        bundle.require_proof()
    except BundleUnproven as error:
        if not allow_unproven:
            raise
        return bundle, error.detail or error.code
    return bundle, ""


def bundle_body(bundle: Bundle, unproven: str) -> dict[str, Any]:
    return {
        "event": "serving", "payload_digest": bundle.payload_digest, "signed_by": bundle.signed_by,
        "proven": not unproven, "why": unproven, "actor": "server",
    }  # fmt: skip


def authenticator_of(config: ServeConfig, gateway: Gateway, hashing: Parameters = RFC_9106_LOW_MEMORY) -> Authenticator:
    async def record(event: str, body: Any) -> None:
        await gateway.note("access", {"event": event, **body})

    def levels() -> Any:
        return gateway.judge.policy.levels

    # Behind a proxy browsers come over TLS, though it ends there.
    secure = bool(config.tls.certificate) or bool(config.identity.proxy.addresses)
    return Authenticator(config.identity, levels, record, secure=secure, hashing=hashing)


def model_details(running: Running) -> dict[str, Any]:
    """What Ollama's clients are shown of the model."""
    file = running.bundle.gguf(running.quantisation)
    size = file.stat().st_size if file.is_file() else 0
    details = {"family": "so8t", "parameter_size": "", "quantization_level": running.quantisation}
    return {"size": size, "digest": running.bundle.payload_digest, "details": details}


def made_at(bundle: Bundle) -> int:
    """Unix seconds of the bundle's listing."""
    return int((bundle.folder / LISTING).stat().st_mtime)
