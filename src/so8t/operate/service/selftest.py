"""What the self-tests of the event logs share: four events under a random number that are written and read back.

They have no number of the ledger (seq), so that they are nobody's evidence and `so8t ledger verify --events` passes
over them.
"""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, TypeVar

from so8t.core.ledger_format import utc
from so8t.core.selftest import Check, Figures, Result, Wrong, now, perform, report
from so8t.operate.eventlog.event import Event, EventId

Bench = TypeVar("Bench")
TRIES, PAUSE_SECONDS = 20, 0.25  # a log may take a moment to show what was written


def new_token() -> str:
    return f"selftest-{secrets.token_hex(8)}"


def four_events(token: str) -> list[Event]:
    """1001 to 1004, now, without a ledger's number."""
    at = utc(datetime.now(UTC))
    verdicts = [Event(number, at, request_id=token) for number in (EventId.ALLOW, EventId.ESCALATE, EventId.DENY)]
    return [*verdicts, Event.of_error("T00", at, token)]


def run_checks(
    about: str, bench: Bench, checks: Sequence[Check[Bench, Figures]], tell: Callable[[Result], None], token: str
) -> dict[str, Any]:
    """The report."""
    started = now()
    return report(
        about, started, perform(checks, bench, tell), so8t=metadata.version("so8t"), python=platform.python_version(),
        system=f"{platform.system()} {platform.version()} {platform.machine()}", token=token,
    )  # fmt: skip


def require(wrong: Iterable[str]) -> None:
    """Raises Wrong with all of them, if there are any."""
    if found := list(wrong):
        raise Wrong("; ".join(found))


def until(found: Callable[[], list[Any]], enough: int) -> list[Any]:
    """What is found in the end: asked again until it is enough, or for some seconds."""
    for _ in range(TRIES):
        if len(got := found()) >= enough:
            return got
        time.sleep(PAUSE_SECONDS)
    return got
