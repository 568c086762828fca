"""The one path to an answer: judge, answer if allowed, check the answer, commit to the ledger, then speak.

Nothing leaves before the ledger entry is durable; if it cannot be committed, nothing is answered (DESIGN.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.ledger import Ledger
from so8t.core.types import Decision, Reply, Request, Verdict
from so8t.decide.clearance import classification_from_markers
from so8t.decide.pii import IDENTIFIERS, find
from so8t.decide.policy import Policy
from so8t.decide.views import views
from so8t.judge.triple import TripleJudge

MAX_QUERY = 20_000  # characters; longer requests are refused before anything looks at them


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, or why it is withheld."""

    text: str
    withheld: str = ""
    failed: bool = False


@dataclass(slots=True)
class Gateway:
    """Judge, ledger and the model behind it; every skin (HTTP, MCP, console) calls ask()."""

    judge: TripleJudge
    ledger: Ledger
    maximum_tokens: int = 512
    answer_seconds: float = 120.0
    clock: Callable[[], float] = time.perf_counter

    async def ask(self, request: Request) -> Reply:
        """Raises LedgerUnavailable when the verdict cannot be made durable, LevelUnknown or RecordInvalid for a
        request that nobody can judge."""
        begin = self.clock()
        if len(request.query) > MAX_QUERY:
            raise RecordInvalid(where=request.id, detail=f"query > {MAX_QUERY}")
        verdict = await self.judge.judge(request)
        judged = self.clock()
        answer = await self._answer(request, verdict) if verdict.decision == Decision.ALLOW else Answer("")
        text = spoken(verdict, answer)
        answered = self.clock()
        body = ledger_body(request, verdict, answer)
        future = self.ledger.append("decision", body, text={"query": request.query, "reply": text})
        entry = await asyncio.wrap_future(future)
        ms = {
            "judge": (judged - begin) * 1e3,
            "answer": (answered - judged) * 1e3,
            "ledger": (self.clock() - answered) * 1e3,
        }
        return Reply(verdict, text, entry.seq, entry.hash.hex(), ms)

    async def _answer(self, request: Request, verdict: Verdict) -> Answer:
        try:
            async with asyncio.timeout(self.answer_seconds):
                policy, limit = self.judge.policy, self.maximum_tokens
                text = await self.judge.model.answer(request, policy, verdict.domain, limit)
            return Answer(text, objection(text, request, self.judge.policy))
        except Exception as error:  # whatever broke, the verdict is still to be recorded and nothing unchecked leaves
            return Answer("", f"障害 {type(error).__name__}", failed=True)


def objection(answer: str, request: Request, policy: Policy) -> str:
    """Why an answer must not leave, or "": material above the asker's clearance, or personal data he did not bring."""
    marked = (classification_from_markers(view.text, policy) for view in views(answer))
    level = max((m for m in marked if m is not None), key=policy.levels.rank, default=None)
    if level is not None and policy.levels.gap(request.clearance, level) > 0:
        return f"答えに区分「{level}」の印がある"
    brought = {request.query[f.start : f.end] for f in find(request.query, IDENTIFIERS)}
    if any(answer[f.start : f.end] not in brought for f in find(answer, IDENTIFIERS)):
        return "答えに個人情報か秘密情報らしきものがある"
    return ""


def spoken(verdict: Verdict, answer: Answer) -> str:
    """What the asker reads."""
    if verdict.decision == Decision.DENY:
        refusal = f"この依頼にはお応えできません。根拠: {verdict.policy_ref}。"
        return refusal + "お困りの点があれば、正規の手続きを担当部門にご相談ください。"
    if verdict.decision == Decision.ESCALATE:
        target = verdict.escalation_target
        return f"この依頼は {target} の判断が必要です。引き継ぎとして記録しました。根拠: {verdict.policy_ref}。"
    if answer.failed:
        return "答えを作れませんでした。時間をおいて、もう一度お試しください。"
    if answer.withheld:
        return f"答えを作りましたが、確認のため差し止めました({answer.withheld})。"
    return answer.text or "(モデルは何も答えませんでした)"


def ledger_body(request: Request, verdict: Verdict, answer: Answer) -> dict[str, Any]:
    """What the ledger keeps for good: no text of the asker or the model, only their salted hashes (core/ledger.py)."""
    return {
        "request_id": request.id,
        "actor": request.user,
        "clearance": request.clearance,
        "classification": request.classification,
        **{k: v for k, v in verdict.to_json().items() if k not in ("id", "opinions")},
        "opinions": [{k: v for k, v in o.to_json().items() if k != "reason"} for o in verdict.opinions],
        "answer_withheld": answer.withheld,
    }
