"""Every figure is what counting the entries by hand gives, for whatever happened in a real office."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office_story import PERSONAL, STEPS, key_of, tell

from so8t.core import sealing
from so8t.core.errors import UsageError
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.operate.compliance.figures import Figure, compressed
from so8t.operate.compliance.laws import load_law
from so8t.operate.compliance.report import ComplianceReport, prepare
from so8t.operate.compliance.span import Period
from so8t.operate.review.case import Status, after, opened

LAW = load_law("personal-information")
NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))


def expand(text: str) -> list[int]:
    """1-3,7 -> [1, 2, 3, 7]"""
    parts = [part.partition("-") for part in text.split(",") if part]
    return [n for a, _, b in parts for n in range(int(a), int(b or a) + 1)]


def figures(report: ComplianceReport) -> dict[str, Figure]:
    every = [*(s.figures for s in report.sections), *(d.figures for d in report.duties)]
    found = [figure for group in every for figure in group]
    assert len({f.key for f in found}) == len(found)  # a key names one figure
    return {figure.key: figure for figure in found}


def recount(entries: list[Stored], period: Period) -> Callable[..., list[int]]:
    """Naively: the entries between the first dated in the period and the first dated after it."""
    first = next((i for i, e in enumerate(entries) if e.time >= period.start), len(entries))
    last = next((i for i, e in enumerate(entries) if e.time >= period.end), len(entries))
    inside = entries[first:last]

    def count(test: Callable[[Stored], Any]) -> list[int]:
        return [e.seq for e in inside if test(e)]

    return count


@settings(max_examples=12)
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(-2, 12), st.integers(1, 12))
def test_every_figure_is_a_naive_recount(steps: list[str], begin: int, days: int) -> None:
    period = Period(date(2026, 10, 31) + timedelta(begin), date(2026, 10, 31) + timedelta(begin + days))
    with tempfile.TemporaryDirectory() as folder:
        path = tell(Path(folder), steps)
        with LedgerReader(path) as reader:
            entries = reader.entries(limit=10_000)
        check(prepare(path, LAW, period, key_of(Path(folder))), entries, period)


def check(report: ComplianceReport, entries: list[Stored], period: Period) -> None:
    assert report.verification.ok and report.verification.signed
    found, count = figures(report), recount(entries, period)
    covered = count(lambda e: True)
    span = report.span
    assert [*range(span.first, span.last + 1)] == covered
    assert span.head_after == (entries[covered[-1] - 1].head if covered else span.head_before)
    decisions = count(lambda e: e.kind == "decision")
    expected = {
        "decisions.all": decisions,
        **{f"decisions.{d}": count(lambda e, d=d: e.decision == d) for d in ("ALLOW", "ESCALATE", "DENY")},
        "decisions.judge-failed": count(lambda e: any(o["failed"] for o in e.data.get("opinions", ()))),
        "answers.withheld": count(lambda e: e.data.get("answer_withheld")),
        "answers.personal": count(lambda e: "個人情報" in e.data.get("answer_withheld", "")),
        "answers.aborted": count(lambda e: e.data.get("answer_aborted")),
        "policy.changed": count(lambda e: (e.kind, e.data.get("event")) == ("policy", "changed")),
        "policy.refused": count(lambda e: (e.kind, e.data.get("event")) == ("policy", "refused")),
        "notes.erased": count(lambda e: e.data.get("event") == "erased"),
        "faults.starts": count(lambda e: e.kind == "bundle"),
        "faults.clock": count(lambda e: e.seq > 1 and e.time < entries[e.seq - 2].time),
        "handed.opened": count(lambda e: e.decision == "ESCALATE"),
        "handed.assigned": count(lambda e: (e.kind, e.data.get("event")) == ("review", "assigned")),
        "doubts.denied-unseen": count(lambda e: e.decision == "DENY"),
        "duty.security.clearance": count(lambda e: "clearance" in e.data.get("rules", ()) and e.decision != "ALLOW"),
        "duty.security.clearance-allowed": [],
        "duty.cease.erased": count(lambda e: e.data.get("event") == "erased"),
        "duty.security.entry-refused": count(lambda e: e.data.get("event") == "login_refused"),
        "duty.employees.votes": count(lambda e: e.data.get("event") == "vote"),
    }
    for key, seqs in expected.items():
        assert (found[key].value, list(found[key].seqs)) == (len(seqs), seqs), key
    named = {
        "domains": lambda e, domain, d: e.kind == "decision" and (e.data["domain"] or "", e.decision) == (domain, d),
        "rules": lambda e, rule, d: rule in e.data.get("rules", ()) and e.decision == d,
        "access": lambda e, event: e.kind == "access" and e.data["event"] == event,
        "errors": lambda e, code: e.kind == "error" and e.data["error"] == code,
        "withheld": lambda e, why: e.data.get("answer_withheld") == why,
        "failures": lambda e, why: e.data.get("answer_failed") == why,
        "under-policy": lambda e, digest: e.kind == "decision" and e.data["policy_digest"] == digest,
        "under-bundle": lambda e, digest: e.kind == "decision" and e.data["payload_digest"] == digest,
    }
    for key, figure in found.items():
        front, *rest = key.split(".")
        if front in named:
            assert list(figure.seqs) == count(lambda e, f=front, r=rest: named[f](e, *r)) and figure.value, key
        if figure.unit == "count" and key != "handed.four-eyes-allowed":
            assert figure.value == len(figure.seqs), key
        assert expand(compressed(figure.seqs)) == list(figure.seqs)
    for total in ("domains", "under-policy", "under-bundle"):
        assert sorted(n for k, f in found.items() if k.startswith(total + ".") for n in f.seqs) == decisions
    check_cases(found, entries, span.first, span.last)


def check_cases(found: dict[str, Figure], entries: list[Stored], first: int, last: int) -> None:
    """Hand-overs, followed entry by entry from the beginning."""
    cases: dict[int, Any] = {}
    for e in entries[:last]:
        if e.decision == "ESCALATE":
            cases[e.seq] = opened(e)
        elif e.kind == "review":
            cases[e.data["case"]] = after(cases[e.data["case"]], e)
    closed = {
        s: sorted(c.closed_seq for c in cases.values() if c.closed == s and c.closed_seq >= first) for s in Status
    }
    assert (
        list(found["handed.allowed"].seqs) == closed[Status.ALLOWED] == list(found["doubts.handed-then-allowed"].seqs)
    )
    assert list(found["handed.denied"].seqs) == closed[Status.DENIED]
    assert list(found["handed.expired"].seqs) == closed[Status.EXPIRED]
    assert list(found["handed.open"].seqs) == sorted(c.seq for c in cases.values() if c.closed is None)
    assert set(found["handed.late"].seqs) <= set(found["handed.open"].seqs)
    assert found["handed.four-eyes"].value == sum(c.four_eyes for c in cases.values() if c.seq >= first)
    both = [c for c in cases.values() if c.four_eyes and c.closed == Status.ALLOWED and c.closed_seq >= first]
    assert found["handed.four-eyes-allowed"].value == len(both)
    assert list(found["handed.four-eyes-allowed"].seqs) == sorted(v.seq for c in both for v in c.votes)
    took = sorted(
        (datetime.fromisoformat(c.votes[-1].time) - datetime.fromisoformat(c.time)).total_seconds()
        for c in cases.values()
        if c.closed in (Status.ALLOWED, Status.DENIED) and c.closed_seq >= first
    )
    assert found["times.longest"].value == (took[-1] if took else None)
    middle = (took[(len(took) - 1) // 2] + took[len(took) // 2]) / 2 if took else None
    assert found["times.median"].value == middle


def test_a_known_month(tmp_path: Path) -> None:
    """The figures by hand, so that both countings being wrong alike would show."""
    path = tell(
        tmp_path,
        [
            "restart",
            *["allow"] * 6,
            "hand",
            "vote-allow",
            "hand-finance",
            "vote-allow",
            "vote-second",
            "personal",
            "stream",
            "failed",
            "too-long",
            "above",
            "hand",
            "expire",
            "erase",
            "restart",
        ],
    )
    report = prepare(path, LAW, NOVEMBER, key_of(tmp_path), sealing.load(tmp_path / "text.key"))
    found = {key: figure.value for key, figure in figures(report).items()}
    assert report.verification.texts_checked
    assert {k: v for k, v in found.items() if k.startswith(("handed.", "doubts."))} == {
        "handed.opened": 4, "handed.allowed": 2, "handed.denied": 0, "handed.expired": 2, "handed.assigned": 0,
        "handed.four-eyes": 1, "handed.four-eyes-allowed": 1, "handed.open": 0, "handed.late": 0,
        "doubts.handed-then-allowed": 2, "doubts.expired": 2, "doubts.denied-unseen": 1,
    }  # fmt: skip
    assert found["answers.withheld"] == found["answers.personal"] == 2 and found["errors.D04"] == 1
    assert found["duty.security.personal-answers"] == 2 and found["duty.cease.erased"] == 1
    assert found["faults.starts"] == 1  # the first start was in October
    (gap,) = [f for key, f in figures(report).items() if key.startswith("gaps.") and key != "gaps.all"]
    assert gap.seqs == (report.span.last - 1, report.span.last)
    assert 8 * 3600 <= gap.value <= 8 * 3600 + 600  # five hours to the next step, three in which it stood still
    assert PERSONAL not in str(report.to_json()) and "社員甲" not in str(report.to_json())


def test_the_policy_and_the_model_in_force_before_the_period_are_told(tmp_path: Path) -> None:
    path = tell(tmp_path, ["policy-changed", "policy-refused", "restart", *["allow"] * 6])
    found = figures(prepare(path, LAW, NOVEMBER))
    (policy,) = [f for key, f in found.items() if key.startswith("policies.")]
    (bundle,) = [f for key, f in found.items() if key.startswith("bundles.")]
    assert policy.seqs < bundle.seqs < found["decisions.all"].seqs and policy.note == "0" * 64
    assert found["policy.refused"].value == found["policy.changed"].value == 0  # those were in October


def test_a_late_case_in_a_period_that_is_over_and_in_one_that_is_not(tmp_path: Path) -> None:
    path = tell(tmp_path, ["hand", *["allow"] * 40])
    found = figures(prepare(path, LAW, NOVEMBER))
    assert found["handed.opened"].value == 0 and found["handed.open"].value == found["handed.late"].value == 1
    early = figures(prepare(path, LAW, Period(date(2026, 10, 31), date(2026, 11, 1))))
    assert early["handed.open"].value == 1 and early["handed.late"].value == 0


def test_more_refusals_raise_no_score(tmp_path: Path) -> None:
    """Nothing in a report but counts and times: no rate, no rank, no grade."""
    few = prepare(tell(tmp_path / "a", ["allow", "deny"]), LAW, NOVEMBER).to_json()
    many = prepare(tell(tmp_path / "b", ["allow", *["deny"] * 9]), LAW, NOVEMBER).to_json()
    for report in (few, many):
        units = {f["unit"] for part in (*report["sections"], *report["duties"]) for f in part["figures"]}
        assert units == {"count", "seconds"} and "score" not in str(report)
    assert few["verification"] == many["verification"]


@pytest.mark.parametrize(
    ("first", "until"),
    [("2026-12-01", "2026-11-01"), ("2026-11-01", "2026-11-01"), ("20261101", "2026-12-01"), ("x", "2026-12-01"),
     ("2026-13-01", "2027-01-01"), ("2026-11-01T00:00", "2026-12-01")],
)  # fmt: skip
def test_a_period_is_two_days_in_order(first: str, until: str) -> None:
    with pytest.raises(UsageError):
        Period.parse(first, until)
    assert Period.parse("2026-11-01", "2026-12-01").start.startswith("2026-10-31T15:00")


@given(st.sets(st.integers(1, 300)))
def test_entries_are_compressed_without_loss(seqs: set[int]) -> None:
    assert expand(compressed(sorted(seqs))) == sorted(seqs)
    with pytest.raises(ValueError, match="order"):
        compressed([2, 1])
