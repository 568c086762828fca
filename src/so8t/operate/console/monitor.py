"""監視: indicators of use and health. Counts and times as they are, without claims about what they are worth."""

from __future__ import annotations

import asyncio
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from so8t.core.types import DECISIONS
from so8t.operate.console.usage import DAYS, waiting
from so8t.operate.console.usage_plot import NARROW, day_columns
from so8t.operate.console.visit import Visit
from so8t.operate.monitor.finding import SEVERITY_WORDS, Severity
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.review.notify import Notifier
from so8t.report.count_plots import CountBar, count_bars
from so8t.report.figures import DECISION_WORDS, DOMAIN_WORDS, Words

UNKNOWN = Words("分野不明", "Domain unknown")
LOOKS = {Severity.INFO: "", Severity.WARNING: "escalate", Severity.CRITICAL: "deny"}
SIGNS = {Severity.INFO: "–", Severity.WARNING: "△", Severity.CRITICAL: "×"}
MOST_FINDINGS = 50
BY_DOMAIN = Words("分野ごとの依頼", "Requests by domain")


async def show(visit: Visit) -> Response:
    running = visit.running
    figures = await asyncio.to_thread(visit.console.usage.figures)
    queue = waiting(await running.reviews.cases(), running.reviews.now())
    bars = [
        CountBar(Words(DOMAIN_WORDS.get(name, UNKNOWN).only(visit.lang)), counts) for name, counts in figures.domains
    ]
    parts = [Words(DECISION_WORDS[d].only(visit.lang)) for d in DECISIONS]
    title = Words(BY_DOMAIN.only(visit.lang))
    return visit.page(
        "monitor", "monitor", figures=figures, queue=queue, days=DAYS, decisions=DECISIONS,
        wide=Markup(day_columns(figures.days, visit.lang)),
        narrow=Markup(day_columns(figures.days[-7:], visit.lang, NARROW)),
        domains=Markup(count_bars(bars, parts, title=title, first=visit.lang)) if bars else None,
        replicas=running.pool.replicas, ledger_failure=running.gateway.ledger_failure, head=running.gateway.ledger.head,
        severities=SEVERITY_WORDS, looks=LOOKS, severity_signs=SIGNS, **findings(running.monitor),
        notifications=notifications(running.notifier), lanes=running.events.lanes, problem=running.policy.problem,
    )  # fmt: skip


def findings(monitor: Monitor | None) -> dict[str, Any]:
    """The newest first, and whether the watch sees anything at all."""
    if monitor is None:
        return {"watching": False, "since": None, "blind": [], "findings": [], "unknown": (), "unseen": 0}
    watched = monitor.watched
    turns = [*watched.turns, *([monitor.files] if monitor.files else [])]
    return {
        "watching": True, "since": monitor.since, "blind": [turn.name for turn in turns if turn.problem],
        "findings": list(reversed(monitor.latest))[:MOST_FINDINGS], "unknown": watched.unknown,
        "unseen": watched.programs.unseen if watched.programs else 0,
    }  # fmt: skip


def notifications(notifier: Notifier) -> int | None:
    """How many were not delivered since the start; None where none are configured."""
    return notifier.failures if notifier.config.file or notifier.config.smtp else None
