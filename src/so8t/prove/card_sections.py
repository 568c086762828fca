"""What a card holds besides the verdicts on the test split: sections made with the judges of the deployed file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from so8t.core.config import ProveConfig
from so8t.judge.triple import TripleJudge
from so8t.prove import paraphrases
from so8t.prove.suite import Outcome
from so8t.prove.tasks import run as tasks

Maker = Callable[[TripleJudge, list[Outcome]], Awaitable[dict[str, Any]]]


def sections(settings: ProveConfig) -> Mapping[str, Maker]:
    """Key of card.json -> what makes it. A new section is one line here, and one in report/card.py."""
    draws = settings.bootstrap
    return {
        "consistency": lambda judge, outcomes: paraphrases.card_section(judge, outcomes, draws),
        "tasks": lambda judge, _: tasks.card_section(judge, draws, limit=settings.tasks or settings.limit),
    }
