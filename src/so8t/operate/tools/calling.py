"""A call of a tool for one person: judged as his request, recorded before it is made, and its result taken as data.

The tool server has no rights of its own and is told nothing but the arguments: who asks decides, by clearance, role and
policy, what it may be asked, so nobody reaches through it what he may not reach himself ("confused deputy").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from so8t.core.errors import (
    BackendError,
    NotPermitted,
    RecordInvalid,
    ReviewClosed,
    So8tError,
    ToolFailed,
    ToolUnapproved,
    ToolUnknown,
)
from so8t.core.serve_config import ToolServer
from so8t.core.types import Decision, Excerpt, Opinion, Request, Verdict, canonical_json
from so8t.operate.agents.agent import Agent
from so8t.operate.answering import Answer
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity
from so8t.operate.review.case import Status
from so8t.operate.review.queue import ReviewQueue
from so8t.operate.tools.approval import Approvals
from so8t.operate.tools.choosing import choice
from so8t.operate.tools.client import Told
from so8t.operate.tools.description import Description
from so8t.operate.tools.results import sifted
from so8t.operate.words import refusal

TASK = "tool"  # of the request that a call is judged as: what was decided about one settles no other
CHANGES = "この道具は何かを変えるので、人が決めます。"
FOR_THE_MODEL = 1200  # characters of a result that a model answers from; its window holds more than one


@dataclass(frozen=True, slots=True)
class Called:
    """What became of a call. `text`: the result without what was left out, or why there is none. ledger_seq: of the
    decision; `result_seq`: of the result, 0 where nothing was called."""

    tool: str
    arguments: Mapping[str, Any]
    decision: Decision
    text: str
    classification: str
    ledger_seq: int
    result_seq: int = 0
    failed: bool = False
    left_out: int = 0
    cut: bool = False

    @property
    def excerpts(self) -> tuple[Excerpt, ...]:
        """The result as a passage to answer from: data, never an order."""
        if not self.result_seq or not self.text:
            return ()
        place = f"道具 {self.tool}(台帳 {self.result_seq})"
        return (Excerpt(f"tool-{self.result_seq}", place, self.classification, self.text[:FOR_THE_MODEL]),)

    def to_json(self) -> dict[str, Any]:
        return {
            "tool": self.tool, "arguments": dict(self.arguments), "decision": self.decision, "result": self.text,
            "classification": self.classification, "failed": self.failed, "left_out": self.left_out, "cut": self.cut,
            "ledger": {"decision": self.ledger_seq, "result": self.result_seq},
        }  # fmt: skip


@dataclass(slots=True)
class ToolDesk:
    """Calling the tools that are approved, in the name of whoever asks."""

    gateway: Gateway
    approvals: Approvals
    reviews: ReviewQueue | None = None
    _using: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def call(
        self, identity: Identity, agent: Agent, id: str, arguments: object, *, case: int | None = None, by: str = "user"
    ) -> Called:
        """A call in this person's name. `case`: of a person's approval, used once; `by`: user or model.

        Raises NotPermitted, ToolUnknown, ToolUnapproved, RecordInvalid (arguments), ReviewClosed, ToolFailed, and what
        the gateway raises.
        """
        server, described = self._usable(agent, id)
        given = described.check_arguments(arguments)
        request = Request(
            f"req-{uuid4().hex}", rendered(id, given), identity.clearance, server.classification, None, identity.name,
            agent=agent.id, task=TASK,
        )  # fmt: skip
        told = {"tool": {"name": id, "digest": described.digest, "by": by}}
        if case is not None:
            request, seq = await self._allowed_by(case, identity, request, described)
        else:
            verdict, entry = await self.gateway.decide(request, _floors(server, id), told)
            seq = entry.seq
            if verdict.decision != Decision.ALLOW:
                return _refused(id, given, verdict, server, seq)
        return await self._made(request, seq, server, described, given, told)

    async def chosen(self, identity: Identity, agent: Agent, request: Request, most: int) -> tuple[Called, ...]:
        """The calls that the model wants for a request, at most `most`: none for a request that is not allowed, and
        only of tools that need no person. Each is judged and recorded as if the person had made it."""
        tools = self._for_the_model(identity, agent)
        judge = self.gateway.judge_of(request)
        try:
            if not tools or (await judge.judge(request)).decision != Decision.ALLOW:
                return ()
        except So8tError:  # the gateway will say so, and write it down
            return ()
        made: list[Called] = []
        while len(made) < most:
            told = [(one.tool, one.text[:FOR_THE_MODEL]) for one in made]
            try:
                wanted = await choice(self.gateway.answering, judge, request, tools, told)
            except (BackendError, TimeoutError):
                break
            if wanted is None or any(wanted == (one.tool, one.arguments) for one in made):
                break
            try:
                made.append(await self.call(identity, agent, *wanted, by="model"))
            except (RecordInvalid, NotPermitted, ToolUnapproved, ToolUnknown, ToolFailed):
                break  # where something was called, its entry says how it ended
        return tuple(made)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _usable(self, agent: Agent, id: str) -> tuple[ToolServer, Description]:
        """The description as approved. Raises ToolUnknown, NotPermitted, ToolUnapproved."""
        server, _ = self.approvals.server(id)
        if id not in agent.tools:
            raise NotPermitted(detail=f"{agent.id}: {id}")
        return server, self.approvals.approved(id)

    def _for_the_model(self, identity: Identity, agent: Agent) -> list[Description]:
        """What may be called without a person, as far as levels and configuration tell beforehand."""
        gap = self.gateway.judge.policy.levels.gap
        reach = [identity.clearance, *([agent.highest] if agent.highest else [])]
        found = []
        for id in agent.tools:
            try:
                server, described = self._usable(agent, id)
            except (ToolUnknown, ToolUnapproved, NotPermitted):
                continue
            if not _person_decides(server) and all(gap(level, server.classification) <= 0 for level in reach):
                found.append(described)
        return found

    async def _allowed_by(
        self, number: int, identity: Identity, request: Request, described: Description
    ) -> tuple[Request, int]:
        """A call that a person has allowed: his approval is taken, in the ledger, before it is made, and only once. It
        is of these arguments, and of the tool as it described itself then.

        Raises NotPermitted for any other call, ReviewClosed for an approval that is not there or was used.
        """
        if self.reviews is None:
            raise ReviewClosed(where=f"seq {number}", detail="no reviews here")
        async with self._using:
            case = await self.reviews.case(number)
            if case.asker != identity.name or case.tool != described.id or case.agent != request.agent:
                raise NotPermitted(detail=f"seq {number}")
            if case.closed != Status.ALLOWED or case.answer_seq is not None:
                raise ReviewClosed(where=f"seq {number}", detail="not allowed, or used already")
            asked = await self.reviews.request_of(case)
            if asked.query != request.query or asked.clearance != request.clearance:
                raise NotPermitted(detail=(f"番号 {number}: 引数が違います", f"seq {number}: other arguments"))
            stored = await asyncio.to_thread(self.reviews.reader.entry, number)
            if stored is None or stored.data["tool"]["digest"] != described.digest:
                raise ReviewClosed(
                    where=f"seq {number}", detail=("道具の説明が変わりました", "of the tool as it was then")
                )
            body = {"event": "tool_call_allowed", "case": number, "actor": identity.name,
                    "tool": described.id, "request_id": case.request_id}  # fmt: skip
            entry = await self.gateway.record("note", body, {})
            used = {"event": "answered", "case": number, "actor": "server", "answer_seq": entry.seq,
                    "request_id": case.request_id}  # fmt: skip
            await self.gateway.record("review", used, {})
            if (await self.reviews.case(number)).answer_seq != entry.seq:  # another gateway was first
                raise ReviewClosed(where=f"seq {number}", detail="used already")
        return asked, number

    async def _made(
        self, request: Request, seq: int, server: ToolServer, described: Description, arguments: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> Called:  # fmt: skip
        """The call itself, and the entry of what came of it, whatever that is."""
        began = time.perf_counter()
        try:
            told = await self._result(request, server, described, arguments)
            judge = self.gateway.judge_of(request)
            text, left_out = await asyncio.to_thread(sifted, told.text, request, judge)
        except BaseException as error:
            why = error.code if isinstance(error, So8tError) else type(error).__name__
            await self.gateway.ended(request, seq, Answer("", failed=why), about)
            raise
        body = {**about, "left_out": left_out, "cut": told.cut, "seconds": round(time.perf_counter() - began, 3)}
        entry = await self.gateway.ended(request, seq, Answer(text, failed="tool" if told.failed else ""), body)
        return Called(
            described.id, arguments, Decision.ALLOW, text, server.classification, seq, entry.seq, told.failed, left_out,
            told.cut,
        )  # fmt: skip

    async def _result(
        self, request: Request, server: ToolServer, described: Description, arguments: Mapping[str, Any]
    ) -> Told:
        async with self.approvals.visit(server) as visit:
            now = (await visit.descriptions()).get(described.name)
            if now is None or now.digest != described.digest:
                body = {
                    "event": "tool_changed", "actor": request.user, "request_id": request.id, "tool": described.id,
                    "approved": described.digest, "now": now.digest if now else "",
                }  # fmt: skip
                await self.gateway.note("note", body)
                raise ToolUnapproved(detail=described.id)
            return await visit.call(described.name, arguments)


def rendered(id: str, arguments: Mapping[str, Any]) -> str:
    """A call as the text that is judged, and that a reviewer reads: one spelling for one call."""
    return f"道具 {id} を次の引数で呼び出す。\n{canonical_json(arguments)}"


def _person_decides(server: ToolServer) -> bool:
    return server.effect == "changes" and server.decides == "person"


def _floors(server: ToolServer, id: str) -> tuple[Opinion, ...]:
    if not _person_decides(server):
        return ()
    return (Opinion("tool", Decision.ESCALATE, rules=(f"tool:{id}:changes",), reason=CHANGES, floor=Decision.ESCALATE),)


def _refused(id: str, arguments: Mapping[str, Any], verdict: Verdict, server: ToolServer, seq: int) -> Called:
    return Called(id, arguments, verdict.decision, refusal(verdict), server.classification, seq)
