"""The HTTP server around a running office, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from so8t.operate.mcp.http import routes as mcp_routes
from so8t.operate.server.agents import routes as agent_routes
from so8t.operate.server.app import application
from so8t.operate.server.documents import routes as document_routes
from so8t.operate.server.guard import Guard
from so8t.operate.server.ledger_state import routes as ledger_routes
from so8t.operate.server.metrics import Metrics
from so8t.operate.server.metrics import routes as metric_routes
from so8t.operate.server.office import Office
from so8t.operate.server.office_work import routes as work_routes
from so8t.operate.server.protocol import GuardedHttp
from so8t.operate.server.reviews import routes as review_routes
from so8t.operate.server.senses import routes as sense_routes
from so8t.operate.serving import Running, hosts, made_at, model_details

MODEL = "so8t"
GRACE_SECONDS, IDLE_SECONDS, ENDING_SECONDS = 30, 30, 5


def office_of(running: Running) -> Office:
    return Office(
        running.gateway, running.authenticator, MODEL, made_at(running.bundle), running.config.maximum_tokens,
        model_details(running), running.intake, running.agents,
    )  # fmt: skip


def app_of(running: Running, office: Office, more: Sequence[BaseRoute] = ()) -> Guard:
    """The application with health and metrics; `more`: the console."""
    metrics = Metrics()
    running.gateway.observers.append(metrics.observe)
    if (monitor := running.monitor) is not None:
        metrics.bypass.set_function(lambda: monitor.kinds["bypass"])
        monitor.observers.append(metrics.found)
    if (drift := running.drift) is not None:
        metrics.apart.set_function(lambda: drift.share)
        metrics.drift.set_function(lambda: drift.alarms)
    routes: list[BaseRoute] = [
        *metric_routes(office, metrics, running.pool.up, lambda: _restarting(running)),
        *review_routes(office, running.reviews),
    ]
    routes += [*ledger_routes(office), *work_routes(office, running.config.mail), *more]
    routes += [*mcp_routes(office, hosts(running.config)), *sense_routes(office, running.senses)]
    routes += agent_routes(office, running.agents)
    if running.search is not None:
        routes += document_routes(office, running.search)
    config = running.config
    return application(office, routes, hosts=hosts(config), concurrent=config.concurrent, each=config.concurrent_each)


def _restarting(running: Running) -> dict[str, Any]:
    return {model.server.name: model.state() for model in running.models if model.down_since}


async def serve(
    running: Running, app: Guard, at: socket.socket, ready: Callable[[str], None], stop: threading.Event | None = None
) -> None:
    """Answers at a bound socket until SIGINT, SIGTERM or `stop`; those under way are let finish. `ready` is told the
    address."""
    config = running.config
    tls = config.tls.certificate
    settings = uvicorn.Config(
        app, host=config.address, port=config.port, http=GuardedHttp, loop=_loop(), ws="none", lifespan="off",
        access_log=False, log_level="warning", server_header=False, proxy_headers=False,
        # More connections than requests at work: those too many are told so by the guard, in words.
        limit_concurrency=config.concurrent * 4, timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS, ssl_certfile=tls or None, ssl_keyfile=config.tls.key or None,
    )  # fmt: skip
    server = _Server(
        settings, lambda port: ready(f"{'https' if tls else 'http'}://{_bracketed(config.address)}:{port}"), stop
    )
    await server.serve([at])
    if tasks := set(server.server_state.tasks):  # cancelled at the end of the grace: each still records how it ended
        await asyncio.wait(tasks, timeout=ENDING_SECONDS)


class _Server(uvicorn.Server):
    """Tells when it listens, and on which port where any would do."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising the signal again at the end, as uvicorn does: the ledger is still to be closed.

        A service of Windows lives in a thread of its own and is told by `stop`; signals reach the main thread alone.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[int], None], stop: threading.Event | None = None
    ) -> None:
        super().__init__(config)
        self._ready, self._stop = ready, stop

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to end."""
        if self._stop is not None and self._stop.is_set():
            self.should_exit = True
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _loop() -> str:
    return "asyncio" if sys.platform == "win32" else "auto"
