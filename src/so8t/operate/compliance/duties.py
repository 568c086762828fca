"""A law's duties with the figures that bear on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from so8t.core.ledger_read import Stored
from so8t.operate.compliance.figures import Figure, Section
from so8t.operate.compliance.laws import Duty, Law
from so8t.operate.compliance.tally import Tally


@dataclass(frozen=True, slots=True)
class DutyFigures:
    """One duty as the ledger speaks to it."""

    duty: Duty
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        duty = self.duty
        words = {
            "title": duty.title.ja, "title_en": duty.title.en, "text": duty.text.ja, "text_en": duty.text.en,
        }  # fmt: skip
        cannot = [{"ja": words.ja, "en": words.en} for words in duty.cannot]
        figures = [figure.to_json() for figure in self.figures]
        return {"id": duty.id, "article": duty.article, **words, "figures": figures, "cannot": cannot}


class Duties:
    """Counts what every piece of evidence of a law names."""

    def __init__(self, law: Law) -> None:
        self._law, self._tally = law, Tally()

    def take(self, entry: Stored) -> None:
        for duty in self._law.duties:
            for evidence in duty.evidence:
                if evidence.concerns(entry):
                    self._tally.add(entry.seq, "duty", duty.id, evidence.id)

    def sections(self) -> tuple[Section, ...]:
        """None of its own: duties() has them."""
        return ()

    def duties(self) -> tuple[DutyFigures, ...]:
        figure = self._tally.figure
        return tuple(
            DutyFigures(duty, tuple(figure(e.label, "duty", duty.id, e.id) for e in duty.evidence))
            for duty in self._law.duties
        )
