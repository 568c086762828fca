"""A report on one law and one period, counted from a ledger (O10, issue 6.9).

Evidence prepared for a person, not legal advice, and never a score. The same ledger, law and period give the same
report: nothing in it depends on when or where it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.errors import LedgerBroken
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey
from so8t.core.types import Decision
from so8t.operate.compliance.duties import Duties, DutyFigures
from so8t.operate.compliance.figures import Section
from so8t.operate.compliance.handovers import Handovers
from so8t.operate.compliance.laws import Law
from so8t.operate.compliance.operation import IN_FORCE, Operation
from so8t.operate.compliance.span import Period, Span, span_of, stream
from so8t.operate.compliance.verdicts import Verdicts

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying the whole ledger found when the report was made. `signed`: the anchor's signature was checked;
    `texts_checked`: every stored text was held against its hash. `unreadable`: why nothing could be counted, or ""."""

    ok: bool
    signed: bool
    texts_checked: bool
    first_bad: int | None
    problems: tuple[tuple[int, str, str, str], ...]
    unreadable: str = ""

    def to_json(self) -> dict[str, Any]:
        problems = [dict(zip(("seq", "kind", "ja", "en"), problem, strict=True)) for problem in self.problems]
        named = {name: getattr(self, name) for name in ("ok", "signed", "texts_checked", "first_bad", "unreadable")}
        return named | {"problems": problems}


@dataclass(frozen=True, slots=True)
class ComplianceReport:
    """All of it; to_json() is report.json."""

    law: Law
    period: Period
    span: Span
    verification: Verification
    sections: tuple[Section, ...]
    duties: tuple[DutyFigures, ...]

    def to_json(self) -> dict[str, Any]:
        law = self.law
        named = {"id": law.id, "name": law.name.ja, "name_en": law.name.en, "number": law.number,
                 "as_of": law.as_of, "sha256": law.digest}  # fmt: skip
        return {
            "format": FORMAT,
            "law": named,
            "period": self.period.to_json(),
            "ledger": self.span.to_json(),
            "verification": self.verification.to_json(),
            "sections": [section.to_json() for section in self.sections],
            "duties": [duty.to_json() for duty in self.duties],
        }


def prepare(
    path: Path, law: Law, period: Period, public_key: Ed25519PublicKey | None = None, text_key: TextKey | None = None,
    *, through: int | None = None,
) -> ComplianceReport:  # fmt: skip
    """`through`: leave entries after that one out. A ledger that does not verify gets its report all the same.

    Raises TextKeyWrong, SourceMissing, LedgerUnavailable.
    """
    with LedgerReader(path) as reader:
        try:
            span = span_of(reader, period, through)
            found = _verification(path, public_key, text_key)
            try:
                sections, duties = _counted(reader, law, span, period)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                if found.ok:
                    raise  # a mistake of ours must not look like tampering
                raise LedgerBroken(where=path, detail=f"{type(error).__name__}: {error}"[:200]) from error
        except LedgerBroken as error:
            found = _verification(path, public_key, text_key, error.detail or error.code)
            return ComplianceReport(law, period, Span("", 1, 0, 0, "", "", ""), found, (), ())
    return ComplianceReport(law, period, span, found, sections, duties)


def _verification(
    path: Path, public_key: Ed25519PublicKey | None, text_key: TextKey | None, unreadable: str = ""
) -> Verification:
    report = verify(path, None, public_key, text_key)
    problems = tuple((p.seq, p.kind, p.ja, p.en) for p in report.problems)
    checked = text_key is not None
    return Verification(report.ok and not unreadable, report.signed, checked, report.first_bad, problems, unreadable)


def _counted(
    reader: LedgerReader, law: Law, span: Span, period: Period
) -> tuple[tuple[Section, ...], tuple[DutyFigures, ...]]:
    # A period that is not over yet ends, for open cases, with the last entry.
    last = reader.entry(span.last) if span.last == span.through else None
    verdicts, operation, duties = Verdicts(), Operation(), Duties(law)
    handovers = Handovers(span.first, min(period.end, last.time) if last else period.end)
    _before(reader, span.first, handovers, operation)
    counters = (verdicts, handovers, operation, duties)
    for entry in stream(reader, span.first, span.last):
        for counter in counters:
            counter.take(entry)
    return tuple(section for counter in counters for section in counter.sections()), duties.duties()


def _before(reader: LedgerReader, first: int, handovers: Handovers, operation: Operation) -> None:
    """What the period inherits: open cases, the policy and the model in force, the entry right before it."""
    handed = stream(reader, 1, first - 1, kinds=("decision",), decision=Decision.ESCALATE.value)
    reviews = stream(reader, 1, first - 1, kinds=("review",))
    handovers.earlier(sorted([*handed, *reviews], key=lambda entry: entry.seq))
    for kind in ("policy", "bundle"):
        if (entry := _last_before(reader, first, kind)) is not None:
            operation.in_force(entry)
    if first > 1 and (previous := reader.entry(first - 1)) is not None:
        operation.previous(previous)


def _last_before(reader: LedgerReader, first: int, kind: str) -> Stored | None:
    """The last one that came into force; refused policies did not."""
    before = first
    while page := reader.entries(before=before, kinds=(kind,), newest_first=True, limit=100):
        for entry in page:
            if kind != "policy" or entry.data.get("event") in IN_FORCE:
                return entry
        before = page[-1].seq
    return None
