"""Judges that disagree more than they did in the proof are noticed soon, and those that do not, almost never."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import LedgerUnavailable
from so8t.core.ledger_format import Entry
from so8t.core.types import DECISIONS, Decision, Opinion, Request, Verdict
from so8t.decide.allow_limit import at_most
from so8t.decide.combine import apart
from so8t.operate.drift import ALARM, SHOWN, Detector, Drift, drift_of, proven_share
from so8t.operate.gateway import Recorded

A, E, D = DECISIONS


def told(judge: str, decision: Decision | None, floor: Decision | None = None) -> Opinion:
    return Opinion(judge, decision, {d: float(d is decision) for d in DECISIONS} if decision else None, floor=floor)


@pytest.mark.parametrize(("opinions", "expected"), [
    ([told("rule", None), told("model", A), told("precedent", A)], False),
    ([told("rule", None), told("model", A), told("precedent", E)], True),
    ([told("rule", A), told("model", A), told("precedent", D)], True),
    ([told("rule", E, floor=E), told("model", A), told("precedent", E)], True),
    ([told("rule", E, floor=E), told("model", A)], None),  # a rule that binds is no opinion to differ from
    ([told("rule", D, floor=D), told("model", A), told("precedent", D)], None),  # in operation nobody asks them then
    ([told("model", A), Opinion("precedent", failed=True)], None),
    ([], None),
])  # fmt: skip
def test_who_is_apart(opinions: list[Opinion], expected: bool | None) -> None:
    assert apart(opinions) is expected


@pytest.mark.parametrize("proven", [0.05, 0.2, 0.4])
def test_while_the_proven_share_holds_an_alarm_is_rare(proven: float) -> None:
    """200,000 verdicts hold 20 alarms at most on average; a watch that fired more often would break its promise."""
    generator, detector = np.random.default_rng(8), Detector(proven)
    alarms = sum(detector.add(bool(x)) for x in generator.random(200_000) < proven)
    assert alarms <= 200_000 * ALARM


@pytest.mark.parametrize(("proven", "now", "soon"), [(0.05, 0.3, 100), (0.2, 0.5, 90), (0.4, 0.8, 80)])
def test_a_change_is_noticed_within_a_morning(proven: float, now: float, soon: int) -> None:
    generator, delays = np.random.default_rng(8), []
    for _ in range(200):
        detector, waited = Detector(proven), 1
        while not detector.add(bool(generator.random() < now)):
            waited += 1
        delays.append(waited)
    assert np.median(delays) < soon


@given(st.floats(0.001, 0.97), st.lists(st.booleans(), max_size=200))
def test_evidence_never_falls_below_what_one_verdict_can_take(proven: float, seen: list[bool]) -> None:
    detector = Detector(proven)
    for disagree in seen:
        before = max(detector.evidence, 1.0)
        if not detector.add(disagree):
            assert (detector.evidence > before) is disagree
        assert 0 < detector.evidence < 1 / ALARM


@dataclass
class Gate:
    notes: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False

    async def note(self, kind: str, body: dict[str, Any]) -> None:
        if self.broken:
            raise LedgerUnavailable(where="ledger")
        assert kind == "error"
        self.notes.append(body)


def recorded(*opinions: Opinion) -> Recorded:
    verdict = Verdict("r", E, {d: 1 / 3 for d in DECISIONS}, opinions)
    return Recorded(verdict, Request("r", "質問"), Entry(1, "2026-11-26T00:00:00.000Z", "decision", b""))


APART, ALIKE = recorded(told("model", A), told("precedent", D)), recorded(told("model", A), told("precedent", A))


def test_an_alarm_is_one_entry_with_its_figures() -> None:
    async def run() -> tuple[Gate, Drift]:
        gate = Gate()
        drift = Drift(gate, Detector(0.2))  # type: ignore[arg-type]
        watch = asyncio.create_task(drift.watch())
        for n in range(300):
            drift.observe(ALIKE if n % 10 else APART)
        await asyncio.sleep(0)
        assert gate.notes == [] and drift.share == 0.1
        for _ in range(30):
            drift.observe(APART)
        for _ in range(3):
            await asyncio.sleep(0)
        watch.cancel()
        return gate, drift

    gate, drift = asyncio.run(run())
    (note,) = gate.notes
    assert note["event"] == "drift" and note["proven"] == 0.2 and note["verdicts"] == SHOWN
    assert note["share"] == pytest.approx(47 / 200) and drift.alarms == 1


def test_an_alarm_outlives_a_ledger_that_cannot_be_written() -> None:
    async def run() -> Gate:
        gate = Gate(broken=True)
        drift = Drift(gate, Detector(0.2))  # type: ignore[arg-type]
        for _ in range(40):
            drift.observe(APART)
        with pytest.raises(LedgerUnavailable):
            await drift.watch()
        gate.broken = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await drift.watch()
        return gate

    assert len(asyncio.run(run()).notes) == 1


def card(n: Any, disagreed: Any) -> dict[str, Any]:
    return {"results": {"Q8_0": {"splits": {"test": {"apart": {"n": n, "apart": disagreed}}}}}}


def test_the_proven_share_is_the_upper_end_of_its_interval() -> None:
    assert proven_share(card(300, 60), "Q8_0") == pytest.approx(at_most(60, 300))
    assert 0.2 < at_most(60, 300) < 0.25
    assert drift_of(Gate(), card(300, 300), "Q8_0").detector.proven < 0.98  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize(
    "told", [{}, {"results": {}}, card(0, 0), card("x", 1), card(10, 11), card(10, -1), card(None, 0)]
)
def test_without_a_usable_proof_nothing_is_watched(told: dict[str, Any]) -> None:
    assert drift_of(Gate(), told, "Q8_0") is None  # type: ignore[arg-type]
