"""What the self-tests of the event logs share: checks that may each fail alone, and the report of how they ended.

Four events under a random number are written and read back. They have no number of the ledger (seq), so that they are
nobody's evidence and `so8t ledger verify --events` passes over them.
"""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Generic, TypeVar

from so8t.core.errors import So8tError
from so8t.core.ledger_format import utc
from so8t.operate.eventlog.event import Event, EventId

Bench = TypeVar("Bench")
Figures = dict[str, float | str | bool]
TRIES, PAUSE_SECONDS = 20, 0.25  # a log may take a moment to show what was written


class Skip(Exception):
    """This machine cannot be asked that."""


class Wrong(Exception):
    """What was found is not what must be."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Bench]):
    name: str
    ja: str
    en: str
    run: Callable[[Bench], Figures]


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended: "passed", "failed" or "skipped", with figures or the reason."""

    name: str
    ja: str
    en: str
    status: str
    seconds: float
    figures: Figures
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "what": self.en, "status": self.status, "seconds": round(self.seconds, 2),
            "reason": self.reason, "figures": self.figures,
        }  # fmt: skip


def new_token() -> str:
    return f"selftest-{secrets.token_hex(8)}"


def four_events(token: str) -> list[Event]:
    """1001 to 1004, now, without a ledger's number."""
    now = utc(datetime.now(UTC))
    verdicts = [Event(number, now, request_id=token) for number in (EventId.ALLOW, EventId.ESCALATE, EventId.DENY)]
    return [*verdicts, Event.of_error("T00", now, token)]


def run_checks(
    about: str, bench: Bench, checks: Sequence[Check[Bench]], tell: Callable[[Result], None]
) -> dict[str, Any]:
    """The report."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    results = []
    for check in checks:
        results.append(_perform(check, bench))
        tell(results[-1])
    counts = {s: sum(r.status == s for r in results) for s in ("passed", "failed", "skipped")}
    return {
        "report": about, "started": started, "so8t": metadata.version("so8t"),
        "python": platform.python_version(), "system": f"{platform.system()} {platform.version()} {platform.machine()}",
        **counts, "checks": [r.to_json() for r in results],
    }  # fmt: skip


def _perform(check: Check[Bench], bench: Bench) -> Result:
    begin = time.monotonic()
    figures: Figures = {}
    status, reason = "passed", ""
    try:
        figures = check.run(bench)
    except Skip as skip:
        status, reason = "skipped", str(skip)
    except Exception as error:  # what is under test may do anything
        words = " ".join(str(error).split())[:400]
        status, reason = "failed", words if isinstance(error, So8tError | Wrong) else f"{type(error).__name__}: {words}"
    return Result(check.name, check.ja, check.en, status, time.monotonic() - begin, figures, reason)


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
