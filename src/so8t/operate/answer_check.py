"""What a model says is looked at, sentence by sentence, before any of it leaves.

Found are classification marks above the asker's clearance, personal data and secrets he did not bring himself, what
the policy forbids in answers, and its canaries. Like requests, answers are read in every view (decide/views.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from so8t.core.types import Request
from so8t.decide.clearance import classification_from_markers
from so8t.decide.pii import IDENTIFIERS, find
from so8t.decide.policy import Policy
from so8t.decide.views import views

LONGEST = 400  # characters of a sentence; a longer one is checked and released in parts
TAIL = 200  # characters already released that are read again with the next sentence
# Where a sentence may end; a Latin full stop only before a space, so that 3.14 and URLs stay whole.
_END = re.compile(r"[。!?!?\n]+[」』)）]*|\.(?=\s)")


def next_sentence(text: str) -> int:
    """Where the first whole sentence of a text that is still growing ends; 0 when none is whole yet."""
    if found := _END.search(text, 0, LONGEST):
        # More of a run of full stops or closing brackets may follow; what ends the text waits for what comes.
        return found.end() if found.end() < len(text) or text.endswith("\n") else 0
    return LONGEST if len(text) >= LONGEST else 0


@dataclass(slots=True)
class AnswerCheck:
    """One answer to one request. objection() is asked for every sentence, in order."""

    request: Request
    policy: Policy
    _brought: frozenset[str] = frozenset()
    _tail: str = ""

    def __post_init__(self) -> None:
        texts = [self.request.query, *(turn.text for turn in self.request.history if turn.role == "user")]
        self._brought = frozenset(text[f.start : f.end] for text in texts for f in find(text, IDENTIFIERS))

    def objection(self, sentence: str) -> str:
        """Why a sentence must not leave, or "". What was released before is read with it, where a find crosses."""
        before, text = len(self._tail), self._tail + sentence
        readings = views(text)
        why = (
            self._marked([view.text for view in readings])
            or self._personal(text, before)
            or self._forbidden([view.text for view in readings])
        )
        self._tail = text[-TAIL:]
        return why

    def _marked(self, readings: list[str]) -> str:
        levels = [classification_from_markers(reading, self.policy) for reading in readings]
        level = max((x for x in levels if x is not None), key=self.policy.levels.rank, default=None)
        if level is not None and self.policy.levels.gap(self.request.clearance, level) > 0:
            return f"答えに区分「{level}」の印がある"
        return ""

    def _personal(self, text: str, before: int) -> str:
        found = (f for f in find(text, IDENTIFIERS) if f.end > before)
        if any(text[f.start : f.end] not in self._brought for f in found):
            return "答えに個人情報か秘密情報らしきものがある"
        return ""

    def _forbidden(self, readings: list[str]) -> str:
        for term in self.policy.answer.forbidden:
            if any(term.pattern.found(reading) for reading in readings):
                return term.reason
        if any(canary in reading for canary in self.policy.answer.canaries for reading in readings):
            return "答えに、外へ出してはならない目印がある"
        return ""
