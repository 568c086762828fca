"""Who may decide what was handed over, and what becomes of it: every state from the ledger alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from office_server import ANSWER, POLICY, SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.core.errors import NotPermitted, RecordInvalid, ReviewClosed
from so8t.core.ledger_read import LedgerReader
from so8t.core.types import Decision, Request, Turn
from so8t.decide.policy_sections import FourEyes, ReviewPolicy
from so8t.judge.precedent import Asked, Case, PrecedentStore
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.review import queue as queue_module
from so8t.operate.review.case import Status
from so8t.operate.review.queue import ReviewQueue

ALLOW, DENY = Decision.ALLOW, Decision.DENY
ASKED = Request("q-1", "人に聞くべき契約の件です。", "社内限定", "社内限定", None, "社員甲")
REVIEWER = Identity("審査乙", frozenset({Role.REVIEWER}), "部外秘", "session")
SECOND = Identity("審査丙", frozenset({Role.REVIEWER}), "部外秘", "session", frozenset({"法務"}))
NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


@dataclass
class Desk:
    """One gateway and its queue; the clock stands where the test puts it."""

    gateway: Gateway
    reader: LedgerReader
    queue: ReviewQueue
    now: datetime = NOW

    def other(self) -> ReviewQueue:
        """The queue as another gateway over the same ledger, or this one after a restart, sees it."""
        return ReviewQueue(self.gateway, self.reader, lambda: self.now)


@contextmanager
def desk(folder: Path, review: ReviewPolicy | None = None) -> Iterator[Desk]:
    gateway, _, ledger, texts, authenticator = build(folder, FakeBackend(SCORES, answer=ANSWER))
    policy = dataclasses.replace(POLICY, review=review or ReviewPolicy())
    gateway.judge = dataclasses.replace(gateway.judge, policy=policy)
    reader = LedgerReader(folder / "ledger.db", texts)
    made = Desk(gateway, reader, ReviewQueue(gateway, reader))
    made.queue.now = gateway.now = lambda: made.now
    try:
        yield made
    finally:
        authenticator.close()
        ledger.close()


def run(folder: Path, story: Callable[[Desk], Awaitable[Any]], review: ReviewPolicy | None = None) -> None:
    with desk(folder, review) as made:
        made.gateway.ledger._clock = lambda: made.now  # votes are timed by their entries
        asyncio.run(story(made))  # type: ignore[arg-type]


async def handed(desk: Desk, request: Request = ASKED) -> int:
    reply = await desk.gateway.ask(request)
    assert reply.verdict.decision is Decision.ESCALATE
    return reply.ledger_seq


def test_allowed_by_a_reviewer_and_answered(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        (case,) = await desk.queue.waiting_for(REVIEWER)
        assert (case.seq, case.asker, case.status(desk.now)) == (seq, "社員甲", Status.PENDING)
        assert (await desk.queue.texts(seq))["query"] == ASKED.query
        case = await desk.queue.decide(seq, REVIEWER, ALLOW, "一般論なので差し支えない")
        assert case.status(desk.now) is Status.ALLOWED and await desk.queue.waiting_for(REVIEWER) == []
        assert await desk.queue.answered(case) == ANSWER
        fresh = await desk.other().case(seq)
        assert fresh.answer_seq is not None and await desk.other().answered(fresh) == ANSWER
        answers = desk.reader.entries(kinds=("answer",))
        assert [a.data["decision_seq"] for a in answers] == [seq]  # made once
        vote = desk.reader.entry(case.votes[0].seq)
        assert vote is not None and desk.reader.texts(vote.seq) == {"comment": "一般論なので差し支えない"}

    run(tmp_path, story)


def test_denied(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        case = await desk.queue.decide(await handed(desk), REVIEWER, DENY)
        assert case.status(desk.now) is Status.DENIED
        with pytest.raises(RecordInvalid, match="not allowed"):
            await desk.queue.answered(case)
        with pytest.raises(ReviewClosed):
            await desk.queue.decide(case.seq, SECOND, ALLOW)

    run(tmp_path, story)


def test_a_reviewers_own_words_are_the_answer(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        case = await desk.queue.decide(await handed(desk), REVIEWER, ALLOW, answer="担当の法務へどうぞ。")
        assert await desk.queue.answered(case) == "担当の法務へどうぞ。"
        assert desk.reader.entries(kinds=("answer",)) == []

    run(tmp_path, story)


FOUR = ReviewPolicy(four_eyes=(FourEyes(frozenset({"社内限定"}), frozenset(), frozenset()),))


def test_four_eyes(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        case = await desk.queue.decide(seq, REVIEWER, ALLOW)
        assert case.status(desk.now) is Status.SECOND and case.four_eyes
        with pytest.raises(NotPermitted, match="already"):
            await desk.queue.decide(seq, REVIEWER, ALLOW)
        assert await desk.queue.waiting_for(REVIEWER) == [] and len(await desk.queue.waiting_for(SECOND)) == 1
        assert (await desk.queue.decide(seq, SECOND, ALLOW)).status(desk.now) is Status.ALLOWED

    run(tmp_path, story, FOUR)


def test_one_of_four_eyes_is_enough_to_deny(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        await desk.queue.decide(seq, REVIEWER, ALLOW)
        assert (await desk.queue.decide(seq, SECOND, DENY)).status(desk.now) is Status.DENIED

    run(tmp_path, story, FOUR)


def test_the_deadline_denies(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        desk.now += timedelta(hours=24)
        assert (await desk.queue.case(seq)).status(desk.now) is Status.EXPIRED
        with pytest.raises(ReviewClosed):
            await desk.queue.decide(seq, REVIEWER, ALLOW)
        assert [c.seq for c in await desk.queue.expire()] == [seq] and await desk.queue.expire() == []
        assert (await desk.other().case(seq)).closed is Status.EXPIRED

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("person", "why"),
    [
        (Identity("社員丁", frozenset({Role.USER, Role.ADMIN}), "極秘", "session"), "reviewer"),
        (Identity("社員甲", frozenset({Role.REVIEWER}), "極秘", "session"), "own request"),
        (Identity("審査戊", frozenset({Role.REVIEWER}), "公開", "session"), "社内限定"),
    ],
)
def test_who_may_not(tmp_path: Path, person: Identity, why: str) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        with pytest.raises(NotPermitted, match=why):
            await desk.queue.decide(seq, person, ALLOW)
        assert await desk.queue.waiting_for(person) == [] and desk.reader.entries(kinds=("review",)) == []

    run(tmp_path, story)


def test_only_the_target_decides_and_it_can_be_handed_on(tmp_path: Path) -> None:
    target = POLICY.domains[next(iter(POLICY.domains))].escalation_target
    places = {place.escalation_target for place in POLICY.domains.values()}
    review = ReviewPolicy(targets={name: ("審査乙",) for name in places} | {target: ("@法務",)})

    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        case = await desk.queue.case(seq)
        first, then = (REVIEWER, SECOND) if case.reviewers == ("審査乙",) else (SECOND, REVIEWER)
        with pytest.raises(NotPermitted):
            await desk.queue.decide(seq, then, ALLOW)
        with pytest.raises(RecordInvalid):
            await desk.queue.assign(seq, "存在しない部署", first)
        await desk.queue.assign(seq, target, first)
        assert (await desk.queue.decide(seq, SECOND, ALLOW)).status(desk.now) is Status.ALLOWED

    run(tmp_path, story, review)


def test_of_two_gateways_the_ledgers_order_decides(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq, other = await handed(desk), desk.other()
        await other.cases()
        await desk.queue.decide(seq, REVIEWER, DENY)
        body = {"event": "vote", "case": seq, "actor": SECOND.name, "outcome": "ALLOW", "request_id": ASKED.id}
        await desk.gateway.record("review", body, {})  # what another gateway wrote a moment too late
        for queue in (desk.queue, other, desk.other()):
            assert (await queue.case(seq)).status(desk.now) is Status.DENIED

    run(tmp_path, story)


def test_a_human_decision_is_a_precedent_also_after_a_restart(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        learned: list[Case] = []
        desk.queue.learn = learned.append
        seq = await handed(desk)
        await desk.queue.decide(seq, REVIEWER, ALLOW)
        assert [(c.query, c.decision, c.by) for c in learned] == [(ASKED.query, ALLOW, REVIEWER.name)]
        store = PrecedentStore([])
        again = desk.other()
        again.learn = store.add
        await again.cases()
        ((ruled, likeness),) = store.rulings(ASKED.query, 0.9)
        assert ruled.decision is ALLOW and likeness == pytest.approx(1.0)
        assert ruled.asked == Asked(ASKED.user, ASKED.clearance, ASKED.classification)
        assert store.opinion(ASKED).decision is None  # it settles the same request, and has no vote on others
        desk.gateway.ledger.erase(seq, "本人の求め").result()
        empty = PrecedentStore([])
        third = desk.other()
        third.learn = empty.add
        await third.cases()
        assert store.cases and empty.cases == []

    run(tmp_path, story)


def test_an_erased_request_cannot_be_answered(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        case = await desk.queue.decide(await handed(desk), REVIEWER, ALLOW)
        desk.gateway.ledger.erase(case.seq, "本人の求め").result()
        with pytest.raises(RecordInvalid, match="erased"):
            await desk.queue.answered(case)

    run(tmp_path, story)


def test_the_conversation_goes_with_the_request(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        request = dataclasses.replace(ASKED, history=(Turn("user", "先日の件です。"), Turn("assistant", "はい。")))
        case = await desk.queue.decide(await handed(desk, request), REVIEWER, ALLOW)
        assert (await desk.queue.request_of(case)).history == request.history

    run(tmp_path, story)


@pytest.mark.parametrize(("comment", "answer"), [("あ" * 2001, ""), ("", "あ" * 20_001)])
def test_words_are_bounded(tmp_path: Path, comment: str, answer: str) -> None:
    async def story(desk: Desk) -> None:
        with pytest.raises(RecordInvalid):
            await desk.queue.decide(await handed(desk), REVIEWER, ALLOW, comment, answer)

    run(tmp_path, story)


TARGETED = ReviewPolicy(targets={place.escalation_target: ("審査乙",) for place in POLICY.domains.values()})


@pytest.mark.parametrize(
    "person",
    [
        SECOND,  # a reviewer, but not of this target
        Identity("社員甲", frozenset({Role.REVIEWER, Role.ADMIN}), "極秘", "session"),  # the asker himself
    ],
)
def test_nobody_hands_a_case_to_himself_or_a_friend(tmp_path: Path, person: Identity) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk)
        for place in POLICY.domains.values():
            with pytest.raises(NotPermitted):
                await desk.queue.assign(seq, place.escalation_target, person)
        assert desk.reader.entries(kinds=("review",)) == []

    run(tmp_path, story, TARGETED)


def test_two_spellings_of_a_name_are_one_person(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seq = await handed(desk, dataclasses.replace(ASKED, user="Tanaka"))
        with pytest.raises(NotPermitted, match="own request"):
            await desk.queue.decide(seq, dataclasses.replace(REVIEWER, name="tanaka"), ALLOW)
        await desk.queue.decide(seq, dataclasses.replace(REVIEWER, name="Suzuki"), ALLOW)
        with pytest.raises(NotPermitted, match="already"):
            await desk.queue.decide(seq, dataclasses.replace(REVIEWER, name="SUZUKI"), ALLOW)

    run(tmp_path, story, FOUR)


def test_an_answer_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: Any, **__: Any) -> Any:
        raise OSError("down")

    async def story(desk: Desk) -> None:
        case = await desk.queue.decide(await handed(desk), REVIEWER, ALLOW)
        with monkeypatch.context() as patched:
            patched.setattr(FakeBackend, "generate", down)
            assert "作れません" in await desk.queue.answered(case)
        assert await desk.queue.answered(await desk.queue.case(case.seq)) == ANSWER

    run(tmp_path, story)


def test_what_is_written_while_the_queue_reads_is_not_lost(tmp_path: Path) -> None:
    """The newest number is looked at first: an entry that comes between two questions is for the next time."""

    async def story(desk: Desk) -> None:
        first = await handed(desk)
        entries, late = desk.reader.entries, list[int]()

        def meanwhile(**filters: Any) -> Any:
            found = entries(**filters)
            if filters.get("kinds") == ("decision",) and not late:
                terms = {"deadline": "2030-01-01T00:00:00+00:00", "reviewers": [], "four_eyes": False}
                body = {"decision": "ESCALATE", "request_id": "q-2", "actor": "社員丙", "clearance": "社内限定"}
                whole = body | {"review": terms | {"classification": None}}
                late.append(desk.gateway.ledger.append_sync("decision", whole).seq)
                note = {"event": "answered", "case": first, "actor": "server", "answer_seq": 1}
                desk.gateway.ledger.append_sync("review", note)
            return found

        fresh = desk.other()
        desk.reader.entries = meanwhile  # type: ignore[method-assign, assignment]
        assert [c.seq for c in await fresh.cases()] == [first]
        assert [c.seq for c in await fresh.cases()] == [late[0], first]

    run(tmp_path, story)


def test_closed_cases_are_kept_up_to_a_number_and_the_rest_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "KEPT", 1)
    monkeypatch.setattr(queue_module, "PAGE", 2)

    async def story(desk: Desk) -> None:
        waiting = await handed(desk)
        closed = []
        for number in range(4):
            seq = await handed(desk, dataclasses.replace(ASKED, id=f"q-{number}"))
            closed.append(await desk.queue.decide(seq, REVIEWER, DENY, "なし"))
        for queue in (desk.queue, desk.other()):
            kept = {c.seq for c in await queue.cases()}
            assert {waiting, closed[-1].seq} <= kept and closed[0].seq not in kept and len(kept) <= 3
        assert await desk.queue.case(closed[0].seq) == closed[0]
        assert await desk.queue.taught_by(desk.queue.precedent_id(closed[0])) == closed[0]
        assert await desk.queue.taught_by("review-00000000-7") is None
        with pytest.raises(ReviewClosed):
            await desk.queue.decide(closed[0].seq, SECOND, ALLOW)
        with pytest.raises(RecordInvalid):
            await desk.queue.case(closed[0].closed_seq or 0)

    run(tmp_path, story)
