"""What a model says is looked at, sentence by sentence, before any of it leaves.

Found are classification marks above the asker's clearance, personal data and secrets that neither he brought himself
nor the documents hold that were read for him, what the policy forbids in answers, and its canaries. Like requests,
answers are read in every view (decide/views.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from so8t.core.text import nfkc
from so8t.core.types import Request
from so8t.decide.clearance import classification_from_markers, highest
from so8t.decide.pii import IDENTIFIERS, find
from so8t.decide.policy import Policy
from so8t.decide.policy_sections import ForbiddenTerm
from so8t.decide.views import views

LONGEST = 400  # characters of a sentence; a longer one is checked and released in parts
TAIL = 200  # characters already released that are read again with the next sentence
LONGEST_RUN = 4000  # of a run that may be one code, kept whole so that it can be read: longer ones are not released
UNREADABLE = "答えに読み解けない符号がある"
_RUN = re.compile(r"[!-~\n]+\Z")
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
    """One answer to one request. objection() is asked for every sentence, in order.

    `more`: what an agent's own policy forbids beside the office's.
    """

    request: Request
    policy: Policy
    more: tuple[ForbiddenTerm, ...] = ()
    _brought: frozenset[str] = frozenset()
    _tail: str = ""

    def __post_init__(self) -> None:
        texts = [self.request.query, *(turn.text for turn in self.request.history if turn.role == "user")]
        texts += [one.text for one in self.request.documents]  # which the asker may read
        found = (text[f.start : f.end] for text in texts for f in find(text, IDENTIFIERS))
        self._brought = frozenset(form for one in found for form in (one, nfkc(one)))

    def objection(self, sentence: str) -> str:
        """Why a sentence must not leave, or "". What was released before is read with it, where a find crosses."""
        text = self._tail + sentence
        readings = views(text)
        shown = [view.text for view in readings]
        why = self._marked(shown) or self._personal(shown, len(self._tail)) or self._forbidden(shown)
        if not why and not all(view.complete for view in readings):
            why = UNREADABLE
        self._tail = _tail(text)
        return why or (UNREADABLE if len(self._tail) > LONGEST_RUN else "")

    def _marked(self, readings: list[str]) -> str:
        level = highest((classification_from_markers(reading, self.policy) for reading in readings), self.policy)
        if level is not None and self.policy.levels.gap(self.request.clearance, level) > 0:
            return f"答えに区分「{level}」の印がある"
        return ""

    def _personal(self, readings: list[str], before: int) -> str:
        """In the text as written only what reaches beyond what was released; in what it hides, anything."""
        written = (f for f in find(readings[0], IDENTIFIERS) if f.end > before)
        found = [readings[0][f.start : f.end] for f in written]
        found += [hidden[f.start : f.end] for hidden in readings[1:] for f in find(hidden, IDENTIFIERS)]
        if any(one not in self._brought and nfkc(one) not in self._brought for one in found):
            return "答えに個人情報か秘密情報らしきものがある"
        return ""

    def _forbidden(self, readings: list[str]) -> str:
        for term in (*self.policy.answer.forbidden, *self.more):
            if any(term.pattern.found(reading) for reading in readings):
                return term.reason
        if any(canary in reading for canary in self.policy.answer.canaries for reading in readings):
            return "答えに、外へ出してはならない目印がある"
        return ""


def _tail(text: str) -> str:
    """What is read again with the next sentence: TAIL characters, or all of the code that the cut goes through."""
    run = _RUN.search(text)
    return text[min(run.start() if run else len(text), max(0, len(text) - TAIL)) :]
