"""Counts and times for Prometheus (text format 0.0.4), and whether the server is fit to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from so8t.core.errors import LedgerError
from so8t.operate.gateway import Recorded
from so8t.operate.identity.identity import Role
from so8t.operate.monitor.alarm import Notice
from so8t.operate.monitor.finding import Severity
from so8t.operate.server.office import Office

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 30)


@dataclass(slots=True)
class Metrics:
    """Of one server. No label ever holds a name of a person or a text."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    decisions: Counter = field(init=False)
    judged: Histogram = field(init=False)
    head: Gauge = field(init=False)
    bypass: Gauge = field(init=False)
    apart: Gauge = field(init=False)
    drift: Gauge = field(init=False)
    findings: Counter = field(init=False)

    def __post_init__(self) -> None:
        self.decisions = Counter(
            "so8t_decisions_total", "Verdicts by decision and domain.", ("decision", "domain"), registry=self.registry
        )
        self.judged = Histogram(
            "so8t_judge_seconds", "Time of each judge.", ("judge",), buckets=SECONDS, registry=self.registry
        )
        self.bypass = Gauge(
            "so8t_bypass_clients", "Clients of the model seen going round the gateway.", registry=self.registry
        )
        self.apart = Gauge(
            "so8t_judges_apart", "Share of the newest verdicts in which judges disagree.", registry=self.registry
        )
        self.drift = Gauge(
            "so8t_drift_alarms", "Times the judges disagreed more than in the proof.", registry=self.registry
        )
        self.findings = Counter(
            "so8t_findings_total", "Findings of the host monitor by severity.", ("severity",), registry=self.registry
        )
        for severity in Severity:  # nothing found is a figure too
            self.findings.labels(severity.word)
        self.head = Gauge("so8t_ledger_seq", "Number of the newest ledger entry.", registry=self.registry)

    def found(self, notice: Notice) -> None:
        """New findings alone; how often one was seen again stands in the ledger."""
        if notice.event == "found":
            self.findings.labels(notice.finding.severity.word).inc()

    def observe(self, recorded: Recorded) -> None:
        verdict = recorded.verdict
        self.decisions.labels(verdict.decision.value, verdict.domain.value if verdict.domain else "").inc()
        for opinion in verdict.opinions:
            self.judged.labels(opinion.judge).observe(opinion.ms / 1e3)
        self.head.set(recorded.entry.seq)


def routes(
    office: Office, metrics: Metrics, upstreams: Callable[[], Mapping[str, bool]],
    restarting: Callable[[], Mapping[str, Any]] = dict,
) -> list[Route]:  # fmt: skip
    """`upstreams` tells which servers of the model are up, by name; `restarting`: which of our own died, since when
    and how often they were started since."""

    async def health(_: HttpRequest) -> Response:
        """The process lives; says nothing else to anybody."""
        return Response("ok\n", media_type="text/plain")

    async def ready(http: HttpRequest) -> Response:
        """Whether it can answer now: 200 or 503, and what is missing."""
        await office.identity(http, Role.ADMIN, Role.AUDITOR, Role.USER)
        if office.gateway.ledger_failure:  # nobody sends us requests while we say so: see for ourselves
            with suppress(LedgerError):
                await office.gateway.note("note", {"event": "probe", "actor": "server"})
        up = dict(upstreams())
        ledger = office.gateway.ledger_failure == ""
        fit = ledger and any(up.values())
        return JSONResponse(
            {"ready": fit, "ledger": ledger, "upstreams": up, "restarting": dict(restarting())}, 200 if fit else 503
        )

    async def measured(http: HttpRequest) -> Response:
        await office.identity(http, Role.ADMIN, Role.AUDITOR)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")

    return [
        Route("/healthz", health, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
        Route("/metrics", measured, methods=["GET"]),
    ]
