"""Who may see what: no read up (SPEC O5). The level of the material is stated, or read from its markings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from so8t.core.types import Decision, Request
from so8t.decide.policy import Policy
from so8t.decide.views import View


@dataclass(frozen=True, slots=True)
class ClearanceOpinion:
    """What clearance alone demands; its decision is a floor. gap = levels the material lies above the asker."""

    decision: Decision
    gap: int
    classification: str
    reason: str


def classification_from_markers(text: str, policy: Policy) -> str | None:
    """The highest level a text is marked with; None without a marking."""
    return max((marker.level for marker in policy.markers_in(text)), key=policy.levels.rank, default=None)


def effective_classification(request: Request, views: Sequence[View], policy: Policy) -> str | None:
    """The higher of the stated level and the markings in any view. Raises LevelUnknown for a level nobody defined."""
    marked = [classification_from_markers(view.text, policy) for view in views]
    levels = [level for level in (request.classification, *marked) if level is not None]
    return max(levels, key=policy.levels.rank, default=None)


def clearance_opinion(request: Request, views: Sequence[View], policy: Policy) -> ClearanceOpinion | None:
    """Two levels up or more: DENY; one level: ESCALATE; else nothing (LABELS.md 1 and 2).

    Raises LevelUnknown for a clearance or classification that the policy does not name.
    """
    policy.levels.rank(request.clearance)
    classification = effective_classification(request, views, policy)
    if classification is None:
        return None
    gap = policy.levels.gap(request.clearance, classification)
    if gap <= 0:
        return None
    decision = Decision.DENY if gap >= 2 else Decision.ESCALATE
    reason = f"区分「{classification}」の情報は権限「{request.clearance}」より{gap}段階上です。"
    return ClearanceOpinion(decision, gap, classification, reason)
