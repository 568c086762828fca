"""方針: which policy is in force, how it differs from the proven one, and which change was refused last."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from so8t.core.ledger_read import LedgerReader, Stored
from so8t.operate.console.visit import Visit
from so8t.report.figures import figure

CHANGES = 10


async def show(visit: Visit) -> Response:
    watch = visit.running.policy
    changes = await asyncio.to_thread(_changes, visit.running.reader)
    refused = next((entry for entry in changes if entry.data.get("event") == "refused"), None)
    thresholds = [(figure(name), name, value) for name, value in watch.policy.thresholds.items()]
    rows = [
        (f.words if f else None, name, f.write_bound(value) if f else f"{value:g}") for f, name, value in thresholds
    ]
    return visit.page(
        "policy", "policy", policy=watch.policy, proven=watch.proven, change=watch.change, path=watch.path,
        problem=watch.problem, refused=refused, changes=changes, thresholds=rows,
    )  # fmt: skip


def _changes(reader: LedgerReader) -> list[Stored]:
    return reader.entries(kinds=("policy",), limit=CHANGES, newest_first=True)
