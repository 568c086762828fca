"""A check that is off fails, whatever way it is off, and does not take the others with it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

from so8t.core.errors import BackendDown
from so8t.core.selftest import Check, Figures, Measure, Result, Skip, Wrong, attempt, now, perform, report

GpuLike = Check[None, list[Measure]]


def check(run: Callable[[None], Any], name: str = "x") -> Check[None, Any]:
    return Check(name, "検査", "a check", run)


def measures(*values: Measure) -> GpuLike:
    return check(lambda bench: list(values))


def raises(error: Exception) -> Check[None, Any]:
    def run(bench: None) -> Figures:
        raise error

    return check(run)


def ran(*checks: Check[None, Any]) -> list[Result]:
    return perform(checks, None, lambda result: None)


def test_statuses() -> None:
    found = ran(
        measures(Measure("a", 0.5, 0.5), Measure("b", 9.0)),
        measures(Measure("a", 0.5, 0.4), Measure("b", 0.0, 1.0)),
        measures(Measure("a", math.nan, 1.0)),
        measures(Measure("a", math.inf, 1e30)),
        raises(Skip("no card")),
        measures(),
        check(lambda bench: {"written": 4, "file": "a.dll"}),
    )
    passed = ["passed", "failed", "failed", "failed", "skipped", "passed", "passed"]
    assert [r.status for r in found] == passed and all(r.seconds >= 0 for r in found)
    assert found[4].reason == "no card"
    assert [(m.name, m.value) for m in found[6].measures] == [("written", 4), ("file", "a.dll")]


def test_what_a_failure_says() -> None:
    """Of others' errors the first line and the class; ours and what is wrong in their own words, on one line."""
    error = RuntimeError("CUDA error: illegal access\nCUDA kernel errors might be reported late")
    found = ran(raises(error), raises(Wrong("two\n lines")), raises(BackendDown(detail="x" * 1000)), raises(OSError()))
    assert [r.status for r in found] == ["failed"] * 4
    assert found[0].reason == "RuntimeError: CUDA error: illegal access" and found[1].reason == "two lines"
    assert 300 < len(found[2].reason) <= 400 and found[3].reason == "OSError:"


def test_the_report_is_json_and_counts() -> None:
    told: list[Result] = []
    checks = [measures(Measure("a", math.nan, 1.0)), raises(ValueError("b")), raises(Skip("c"))]
    made = report("so8t selftest x", now(), perform(checks, None, told.append), machine="m")
    assert json.loads(json.dumps(made, allow_nan=False)) == made and made["machine"] == "m"
    assert (made["passed"], made["failed"], made["skipped"]) == (0, 2, 1) and len(told) == 3
    assert made["checks"][0]["measures"] == [{"name": "a", "value": "nan", "limit": 1.0}]


def test_a_check_that_is_awaited() -> None:
    async def run(bench: None) -> Figures:
        raise Wrong("late")

    async def main() -> Result:
        one = check(run)
        with attempt(one) as result:
            result.take(await one.run(None))
        return result

    assert asyncio.run(main()).reason == "late"
