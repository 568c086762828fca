"""Put the tasks to a running bundle as the gateway does: judged, then answered in the format it was trained on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from so8t.core.types import Decision, Request
from so8t.judge.triple import TripleJudge
from so8t.prove.tasks.item import TaskItem, packaged_items, subset
from so8t.prove.tasks.score import Answered, result

CONCURRENCY = 2
QA_TOKENS = 48  # a short answer with a polite ending; a longer one has stopped answering
TOKENS_A_CHARACTER = 1.2  # of a summary: an own vocabulary needs fewer, a foreign one about one a character
Advance = Callable[[], None]


def request_of(item: TaskItem, judge: TripleJudge) -> Request:
    """What the gateway would see: the words and two levels, never the answers nor the domain. No company material."""
    return Request(item.id, item.query, judge.policy.default_clearance, judge.policy.levels.names[0])


def maximum_tokens(item: TaskItem) -> int:
    return QA_TOKENS if item.kind == "qa" else round(item.limit * TOKENS_A_CHARACTER)


async def answer_all(
    judge: TripleJudge, items: Sequence[TaskItem], advance: Advance = lambda: None, concurrency: int = CONCURRENCY
) -> list[Answered]:
    """Every item in order. The reply is asked for even where the verdict is not ALLOW, so that knowledge and gate are
    told apart; `released` says which. Raises BackendDown, BackendProtocol."""
    gate = asyncio.Semaphore(concurrency)

    async def one(item: TaskItem) -> Answered:
        async with gate:
            request = request_of(item, judge)
            begin = time.perf_counter()
            verdict = await judge.judge(request)
            reply = await judge.model.answer(request, judge.policy, judge.domain(request), maximum_tokens(item))
            advance()
            return Answered(item, reply, verdict.decision is Decision.ALLOW, time.perf_counter() - begin)

    return list(await asyncio.gather(*(one(item) for item in items)))


async def card_section(
    judge: TripleJudge,
    draws: int,
    *,
    limit: int = 0,
    items: Sequence[TaskItem] | None = None,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Key "tasks" of card.json. `limit` = at most so many items, from every domain and kind (0 = all)."""
    suite = packaged_items() if items is None else items
    chosen = subset(suite, limit)
    answered = await answer_all(judge, chosen, advance or (lambda: None))
    return result(answered, draws) | {"of": len(suite)}
