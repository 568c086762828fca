"""What a self-test is: named checks, each with its figures and their limits, each free to fail alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from so8t.core.errors import So8tError

Bench = TypeVar("Bench")
Found = TypeVar("Found")
Figures = dict[str, float | str | bool]
STATUSES = ("passed", "failed", "skipped")
LONGEST_REASON = 400


class Skip(Exception):
    """This machine, or this version, cannot be asked that. The reason is for a person, in English as libraries say
    it."""


class Wrong(Exception):
    """What was found is not what must be."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure; it passes when it is not above its limit. No limit = it is only told."""

    name: str
    value: float | str | bool
    limit: float | None = None

    @property
    def ok(self) -> bool:
        """False for NaN."""
        return self.limit is None or float(self.value) <= self.limit

    def to_json(self) -> dict[str, Any]:
        finite = not isinstance(self.value, float) or abs(self.value) < float("inf")  # NaN is no JSON
        return {"name": self.name, "value": self.value if finite else str(self.value), "limit": self.limit}


@dataclass(frozen=True, slots=True)
class Check(Generic[Bench, Found]):
    """One thing to prove. `run` returns its figures (at once or to be awaited), raises Skip, or fails by any other
    exception."""

    name: str
    ja: str
    en: str
    run: Callable[[Bench], Found]


@dataclass(slots=True)
class Result:
    """How a check ended: one of STATUSES, with its figures or the reason why there are none."""

    name: str
    ja: str
    en: str
    status: str = "passed"
    seconds: float = 0.0
    measures: Sequence[Measure] = field(default_factory=tuple)
    reason: str = ""

    def take(self, found: Figures | Sequence[Measure]) -> None:
        self.measures = [Measure(*one) for one in found.items()] if isinstance(found, dict) else found
        self.status = "passed" if all(m.ok for m in self.measures) else "failed"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "what": self.en, "status": self.status, "seconds": round(self.seconds, 2),
            "reason": self.reason, "measures": [m.to_json() for m in self.measures],
        }  # fmt: skip


@contextmanager
def attempt(check: Check[Any, Any]) -> Iterator[Result]:
    """The block makes one check and lets the result take what it found; however it breaks, that is a result too."""
    begin = time.monotonic()
    result = Result(check.name, check.ja, check.en)
    try:
        yield result
    except Skip as skip:
        result.status, result.reason = "skipped", str(skip)
    except Exception as error:  # what is under test may raise anything
        result.status, result.reason = "failed", _words(error)
    result.seconds = time.monotonic() - begin


def perform(
    checks: Sequence[Check[Bench, Figures]] | Sequence[Check[Bench, list[Measure]]], bench: Bench,
    tell: Callable[[Result], None],
) -> list[Result]:  # fmt: skip
    """One after another, each told as it ends."""
    results = []
    for check in checks:
        with attempt(check) as result:
            result.take(check.run(bench))
        results.append(result)
        tell(result)
    return results


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def report(about: str, started: str, results: Sequence[Result], **told: Any) -> dict[str, Any]:
    """For the user to keep or to send. `told`: what it is about."""
    counts = {status: sum(r.status == status for r in results) for status in STATUSES}
    return {"report": about, "started": started, **told, **counts, "checks": [r.to_json() for r in results]}


def _words(error: Exception) -> str:
    """Our own errors speak for themselves; of another's the first line, for CUDA adds advice to its own."""
    if isinstance(error, So8tError | Wrong):
        words = str(error)
    else:
        words = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return " ".join(words.split())[:LONGEST_REASON]
