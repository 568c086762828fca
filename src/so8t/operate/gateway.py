"""The one path to an answer: judge, commit to the ledger, answer if allowed, check the answer, then speak.

Nothing leaves before the ledger entry is durable; if it cannot be committed, nothing is answered (DESIGN.md). An answer
given at once is part of that entry. Of a streamed one, the verdict is durable before the first sentence leaves, and a
second entry says how it ended before the last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from so8t.core.errors import AgentUnknown, BackendProtocol, LedgerError, RecordInvalid, So8tError
from so8t.core.ledger import Ledger
from so8t.core.ledger_format import Entry
from so8t.core.types import Decision, Domain, Opinion, Reply, Request, Verdict, canonical_json
from so8t.decide.clearance import highest, level_of, touched
from so8t.decide.policy import Policy
from so8t.judge.narrowing import Narrowing, with_floor
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answer, Answering, AnswerOptions
from so8t.operate.intake.kept import Kept
from so8t.operate.review.draft import draft_texts
from so8t.operate.words import FAILED, refusal, withheld

T = TypeVar("T")

MAX_QUERY = 20_000  # characters; longer requests are refused before anything looks at them
MAX_HISTORY, MAX_TURNS = 100_000, 200  # characters and turns of what was said before
# What makes the answer to an allowed request, where that is more than one question to the model.
Work = Callable[[Request, Domain | None, TripleJudge], Awaitable[Answer]]
# What makes a draft of it for the person to whom it is handed over.
Drafting = Callable[[Request, Verdict, TripleJudge], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A verdict that is durable: what metrics, notifications and event logs are told."""

    verdict: Verdict
    request: Request
    entry: Entry


@dataclass(slots=True)
class Stream:
    """A judged request whose answer is still to come: iterate `sentences`, then `answer` says how it ended."""

    verdict: Verdict
    entry: Entry
    sentences: AsyncGenerator[str]
    answer: Answer | None = None

    @property
    def reply(self) -> Reply:
        """What ask() would have returned; without a text until `answer` is there."""
        answer = self.answer or Answer("")
        return Reply(
            self.verdict, answer.text, self.entry.seq, self.entry.head, {},
            answer.tokens, answer.prompt_tokens, not answer.stopped, answer.withheld, answer.failed,
        )  # fmt: skip


@dataclass(slots=True)
class Gateway:
    """Judge, ledger and the model behind them; every skin (HTTP, MCP, console) calls ask() or stream().

    `works`: what makes the answer to an allowed request of a task; `drafts`: what a person is shown who has to decide
    about one, and its asker gets unchanged once it is allowed. `agents`: those a request may name. `observers` are told
    of every durable verdict, `error_observers` of every error (code, request, its entry if it has one); they must not
    raise and not wait. `ledger_failure`: why the last entry could not be made durable, or "".
    """

    judge: TripleJudge
    ledger: Ledger
    answering: Answering
    works: Mapping[str, Work] = field(default_factory=dict)
    drafts: Mapping[str, Drafting] = field(default_factory=dict)
    observers: list[Callable[[Recorded], None]] = field(default_factory=list)
    error_observers: list[Callable[[str, str, Entry | None], None]] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ledger_failure: str = ""
    agents: Mapping[str, Narrowing] = field(default_factory=dict)
    _endings: set[asyncio.Task[Any]] = field(default_factory=set, repr=False)

    @property
    def kept(self) -> Kept:
        """Where the images that come with requests are kept."""
        return Kept.beside(self.ledger.path)

    async def ask(self, request: Request, options: AnswerOptions | None = None) -> Reply:
        """Raises LedgerUnavailable when the verdict cannot be made durable, LevelUnknown or RecordInvalid for a
        request that nobody can judge."""
        begin, judge = self.clock(), self.judge_of(request)
        verdict = await self._judged(request, judge)
        judged = self.clock()
        try:
            made = await self._whole(request, verdict, judge, options or AnswerOptions())
        except asyncio.CancelledError:  # the server stops: what was judged is recorded all the same
            self._at_last(self._commit(request, verdict, Answer("", aborted=True), judge))
            raise
        if made is not None and made.floor is not None:
            request = replace(request, floors=(*request.floors, made.floor))
            verdict = await self._judged(request, judge)
        allowed = made if verdict.decision == Decision.ALLOW else None
        answer = allowed or Answer(refusal(verdict, request.floors))
        answered = self.clock()
        entry = await self._commit(request, verdict, answer, judge, draft=None if answer is made else made)
        ms = {
            "judge": (judged - begin) * 1e3,
            "answer": (answered - judged) * 1e3,
            "ledger": (self.clock() - answered) * 1e3,
        }
        return Reply(
            verdict, answer.text, entry.seq, entry.head, ms,
            answer.tokens, answer.prompt_tokens, not answer.stopped, answer.withheld, answer.failed, answer.made,
        )  # fmt: skip

    async def stream(self, request: Request, options: AnswerOptions | None = None) -> Stream:
        """The durable verdict and the sentences of the answer to come; the same errors as ask(), before any of it."""
        judge = self.judge_of(request)
        verdict = await self._judged(request, judge)
        refused = None if verdict.decision == Decision.ALLOW else Answer(refusal(verdict))
        entry = await self._commit(request, verdict, refused, judge)
        made = Stream(verdict, entry, _nothing(), refused)
        if refused is None:
            made.sentences = self._sentences(made, request, judge, options or AnswerOptions())
            await anext(made.sentences)  # begun: closed unread, as by an asker who left during the judging, it ends too
        else:
            made.sentences = _said(refused.text)
        return made

    async def embed(self, actor: str, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of the asker's own texts. Raises RecordInvalid, EmbeddingsMissing, LedgerUnavailable."""
        if any(len(text) > MAX_QUERY for text in texts):
            raise RecordInvalid(where="input", detail=f"text > {MAX_QUERY}")
        vectors = await self.answering.upstream.embed(texts)
        if len(vectors) != len(texts):
            raise BackendProtocol(detail=f"{len(vectors)} vectors for {len(texts)} texts")
        await self.note("note", {"event": "embedded", "actor": actor, "characters": sum(map(len, texts))})
        return vectors

    async def answer_reviewed(
        self, request: Request, decision_seq: int, review_seq: int, draft: Answer | None = None
    ) -> tuple[Entry, Answer]:
        """The answer to what a person has allowed, and its entry: the draft that the person saw, else the model's,
        checked like any other. What only that one's finished text shows, and the person could not know, keeps it back.
        """
        answer = draft or await self._made(request, request.domain, self.judge_of(request), AnswerOptions())
        if answer.floor is not None:
            answer = Answer(withheld(answer.floor.reason), withheld=answer.floor.reason)
        body = {"request_id": request.id, "actor": request.user, "decision_seq": decision_seq, "review_seq": review_seq}
        body |= {"as_shown": True} if draft else {}
        entry = await self.record("answer", body | _ending(answer), _released(answer))
        return entry, answer

    async def note(self, kind: str, body: dict[str, Any]) -> Entry:
        """What is no verdict and is kept all the same: a refused input, a login, a change of policy."""
        return await self.record(kind, body, {})

    def judge_of(self, request: Request) -> TripleJudge:
        """The office's judge, with the floors of the agent that the request names. Raises AgentUnknown."""
        if not request.agent:
            return self.judge
        if request.agent not in self.agents:
            raise AgentUnknown(where=request.id, detail=repr(request.agent)[:80])
        return replace(self.judge, narrowing=self.agents[request.agent])

    async def decide(
        self, request: Request, floors: Sequence[Opinion] = (), told: Mapping[str, Any] | None = None
    ) -> tuple[Verdict, Entry]:
        """A verdict that is durable and no answer: what stands before something is done for the asker.

        `floors`: further demands that nothing lowers; `told`: what the entry says beside. The same errors as ask().
        """
        judge = self.judge_of(request)
        verdict = await self._judged(request, judge)
        for floor in floors:
            verdict = with_floor(verdict, floor, judge.policy)
        refused = None if verdict.decision == Decision.ALLOW else Answer(refusal(verdict))
        return verdict, await self._commit(request, verdict, refused, judge, told)

    async def ended(
        self, request: Request, decision_seq: int, answer: Answer, told: Mapping[str, Any] | None = None
    ) -> Entry:
        """The entry of how an allowed request came to its end, written whoever stops waiting for it. Raises
        LedgerUnavailable."""
        body: dict[str, Any] = {"request_id": request.id, "actor": request.user, "decision_seq": decision_seq}
        body |= _ending(answer) | dict(told or {})
        return await asyncio.shield(self._at_last(self.record("answer", body, {"reply": answer.text})))

    async def settled(self) -> None:
        """Returns when every answer that came to its end has its entry: for a graceful stop."""
        while self._endings:
            await asyncio.gather(*self._endings, return_exceptions=True)

    async def _judged(self, request: Request, judge: TripleJudge) -> Verdict:
        try:
            _check_asked(request)
            return await judge.judge(request)
        except So8tError as error:
            await self.note("error", {"request_id": request.id, "actor": request.user, "error": error.code})
            raise

    async def _whole(
        self, request: Request, verdict: Verdict, judge: TripleJudge, options: AnswerOptions
    ) -> Answer | None:
        """The answer to an allowed request, the draft for who decides about a handed-over one; None where neither is
        to be made."""
        if verdict.decision == Decision.ALLOW:
            return await self._made(request, verdict.domain, judge, options)
        if verdict.decision == Decision.ESCALATE and request.task in self.drafts:
            return await _tried(lambda: self.drafts[request.task](request, verdict, judge))
        return None

    async def _made(
        self, request: Request, domain: Domain | None, judge: TripleJudge, options: AnswerOptions
    ) -> Answer:
        if not request.task:
            return await self.answering.whole(request, domain, judge, options)
        return await _tried(lambda: self.works[request.task](request, domain, judge))

    async def _commit(
        self, request: Request, verdict: Verdict, answer: Answer | None, judge: TripleJudge,
        told: Mapping[str, Any] | None = None, draft: Answer | None = None,
    ) -> Entry:  # fmt: skip
        texts = {"query": request.query}
        if request.history:
            texts["history"] = canonical_json([[turn.role, turn.text] for turn in request.history])
        if request.documents:
            texts["documents"] = canonical_json([[d.id, d.place, d.classification, d.text] for d in request.documents])
        if request.order:
            texts["order"] = request.order
        if answer is not None:
            texts |= _released(answer)
        body = ledger_body(request, verdict) | ({} if answer is None else _ending(answer)) | dict(told or {})
        if judge.narrowing is not None:
            body["agent"] = {"name": judge.narrowing.name, "digest": judge.narrowing.digest}
        if request.attachments:
            body["attachments"], kept = await asyncio.to_thread(self.kept.put, request.id, request.attachments)
            texts |= kept
        if verdict.decision == Decision.ESCALATE:
            drafted = draft_texts(draft) if draft is not None else {}
            body["review"] = review_terms(request, verdict, judge.policy, self.now(), drafted.values())
            texts |= drafted
        # The files stay where this fails or is cancelled: the entry may be there all the same (intake/sweep.py).
        entry = await self.record("decision", body, texts)
        if request.attachments:
            self.kept.named(body)
            # An observer may hold what it was told for a while, and an image is large.
            request = replace(request, attachments=tuple(replace(one, content=b"") for one in request.attachments))
        for observer in self.observers:
            observer(Recorded(verdict, request, entry))
        return entry

    async def _sentences(
        self, stream: Stream, request: Request, judge: TripleJudge, options: AnswerOptions
    ) -> AsyncGenerator[str]:
        """Nothing, then the sentences. Each is held until the next is there, so that the last leaves after the entry of
        its end."""
        held, answer = "", None
        parts: list[str] = []
        try:
            yield ""
            async with aclosing(self.answering.stream(request, stream.verdict.domain, judge, options)) as sentences:
                async for sentence in sentences:
                    if isinstance(sentence, Answer):
                        answer = sentence
                        continue
                    if held:
                        parts.append(held)
                        yield held
                    held = sentence
        finally:
            # Also when the asker has gone: what left is recorded.
            stream.answer = answer or Answer("".join(parts), aborted=True)
            await self._end(request, stream)
        if held:
            yield held

    def _at_last(self, recording: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """An entry that is written whoever stops waiting for it; settled() waits for it too."""
        ending = asyncio.create_task(recording)
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending

    async def _end(self, request: Request, stream: Stream) -> None:
        assert stream.answer is not None
        await self.ended(request, stream.entry.seq, stream.answer)

    async def record(self, kind: str, body: dict[str, Any], texts: dict[str, str]) -> Entry:
        """An entry, once it is durable. Raises LedgerUnavailable."""
        request_id = str(body.get("request_id") or "")
        try:
            entry = await asyncio.wrap_future(self.ledger.append(kind, body, text=texts))
        except LedgerError as error:
            self.ledger_failure = error.code
            self._tell_error(error.code, request_id, None)
            raise
        self.ledger_failure = ""
        if kind == "error":
            self._tell_error(str(body.get("error") or body.get("event") or ""), request_id, entry)
        return entry

    def _tell_error(self, code: str, request_id: str, entry: Entry | None) -> None:
        for observer in self.error_observers:
            observer(code, request_id, entry)


def _check_asked(request: Request) -> None:
    if not request.query.strip():
        raise RecordInvalid(where="query", detail=("本文がありません", "empty"))
    if len(request.query) > MAX_QUERY:
        raise RecordInvalid(where=request.id, detail=f"query > {MAX_QUERY}")
    said = sum(len(turn.text) for turn in request.history)
    if said > MAX_HISTORY or len(request.history) > MAX_TURNS:
        raise RecordInvalid(where=request.id, detail=f"history > {MAX_HISTORY} characters or {MAX_TURNS} turns")


def ledger_body(request: Request, verdict: Verdict) -> dict[str, Any]:
    """What the ledger keeps for good: no text of the asker or the model, only their salted hashes (core/ledger.py)."""
    return {
        "request_id": request.id,
        "actor": request.user,
        "clearance": request.clearance,
        "classification": request.classification,
        **({"documents": [d.id for d in request.documents]} if request.documents else {}),
        **({"task": request.task} if request.task else {}),
        **{k: v for k, v in verdict.to_json().items() if k not in ("id", "opinions")},
        "opinions": [{k: v for k, v in o.to_json().items() if k != "reason"} for o in verdict.opinions],
    }


async def _tried(make: Callable[[], Awaitable[Answer]]) -> Answer:
    """As Answering.whole: whatever breaks, the verdict is still to be recorded."""
    try:
        return await make()
    except Exception as error:
        return Answer(FAILED, failed=type(error).__name__)


def review_terms(
    request: Request, verdict: Verdict, policy: Policy, now: datetime, drafted: Iterable[str] = ()
) -> dict[str, Any]:
    """What applies to a handed-over request from now on, whatever the policy says later (operate/review/case.py). Its
    level is that of all the reviewer is shown."""
    classification = highest((touched(request, policy), *(level_of(text, policy) for text in drafted)), policy)
    rules = policy.review
    return {
        "deadline": (now + timedelta(hours=rules.deadline_hours)).isoformat(timespec="seconds"),
        "reviewers": list(rules.reviewers_of(verdict.escalation_target)),
        "four_eyes": rules.needs_two(classification, verdict.domain, verdict.rules),
        "classification": classification,
    }


def _released(answer: Answer) -> dict[str, str]:
    """What left, as the ledger keeps it: sealed, and erasable."""
    return {"reply": answer.text} | ({"made": canonical_json(answer.made)} if answer.made is not None else {})


def _ending(answer: Answer) -> dict[str, Any]:
    return {
        "answer_withheld": answer.withheld,
        "answer_failed": answer.failed,
        "answer_aborted": answer.aborted,
        "answer_tokens": answer.tokens,
    }


async def _said(text: str) -> AsyncGenerator[str]:
    yield text


async def _nothing() -> AsyncGenerator[str]:
    return
    yield
