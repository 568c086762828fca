"""Who may see what: no read up (SPEC O5). The level of the material is stated, or read from its markings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from so8t.core.types import Decision, Request
from so8t.decide.policy import Policy
from so8t.decide.views import View, views

LONGEST_LINE, MOST_LINES = 20, 400  # characters of a line that may be a marking, and how many such lines are looked at
A_LIST = 3  # levels that stand alone in one text are the names of levels, no marking
PIECE, OVERLAP = 20_000, 200  # characters of a long text that are read at once, and again with the next


@dataclass(frozen=True, slots=True)
class ClearanceOpinion:
    """What clearance alone demands; its decision is a floor. gap = levels the material lies above the asker."""

    decision: Decision
    gap: int
    classification: str
    reason: str


def classification_from_markers(text: str, policy: Policy) -> str | None:
    """The highest level a text is marked with; None without a marking."""
    return highest((marker.level for marker in policy.markers_in(text)), policy)


def effective_classification(request: Request, readings: Sequence[View], policy: Policy) -> str | None:
    """The higher of the stated level and the markings in any view, be it a line of a pasted document that is nothing
    else. Raises LevelUnknown for a level nobody defined."""
    marked = [classification_from_markers(view.text, policy) for view in readings]
    stamped = [_line_alone(view.text, policy) for view in readings]
    return highest((request.classification, *marked, *stamped), policy)


def level_of_words(line: str, policy: Policy) -> str | None:
    """The level that words are which are nothing else: 極秘, 社 外 秘, Internal Use Only."""
    words = line.split()
    return highest(
        (classification_from_markers(f"【{one}】", policy) for one in {" ".join(words), "".join(words)}), policy
    )


def _line_alone(text: str, policy: Policy) -> str | None:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if len(lines) < 2:
        return None
    short = [line for line in lines if len(line) <= LONGEST_LINE][:MOST_LINES]
    found = {level_of_words(line, policy) for line in short} - {None}
    return highest(found, policy) if len(found) < A_LIST else None


def level_of(text: str, policy: Policy) -> str | None:
    """The highest marking in any reading of a text, however long it is; None without one."""
    pieces = (text[max(0, at - OVERLAP) : at + PIECE] for at in range(0, len(text), PIECE))
    found = {classification_from_markers(view.text, policy) for piece in pieces for view in views(piece)}
    return highest(found, policy)


def touched(request: Request, policy: Policy) -> str | None:
    """The highest level of all that a request brings along: what is stated, its words, what was said before, what is to
    be read for it. Whoever decides about it sees all of these."""
    texts = (request.query, *(turn.text for turn in request.history), *(one.text for one in request.documents))
    stated = (request.classification, *(one.classification for one in request.documents))
    return highest((*stated, *(level_of(text, policy) for text in texts)), policy)


def highest(levels: Iterable[str | None], policy: Policy) -> str | None:
    """Raises LevelUnknown."""
    return max((level for level in levels if level is not None), key=policy.levels.rank, default=None)


def clearance_opinion(request: Request, readings: Sequence[View], policy: Policy) -> ClearanceOpinion | None:
    """Two levels up or more: DENY; one level: ESCALATE; else nothing (LABELS.md 1 and 2).

    Raises LevelUnknown for a clearance or classification that the policy does not name.
    """
    policy.levels.rank(request.clearance)
    classification = effective_classification(request, readings, policy)
    if classification is None:
        return None
    gap = policy.levels.gap(request.clearance, classification)
    if gap <= 0:
        return None
    decision = Decision.DENY if gap >= 2 else Decision.ESCALATE
    reason = f"区分「{classification}」の情報は権限「{request.clearance}」より{gap}段階上です。"
    return ClearanceOpinion(decision, gap, classification, reason)
