"""No word leaves before its verdict is durable, and none that the asker may not read."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.ask.backend import FakeBackend, Generation
from so8t.core import signing
from so8t.core.errors import BackendDown, LedgerUnavailable, LevelUnknown, RecordInvalid
from so8t.core.ledger import Ledger
from so8t.core.ledger_format import Entry
from so8t.core.ledger_read import LedgerReader, tail
from so8t.core.ledger_verify import verify
from so8t.core.packaged import policy_text
from so8t.core.sealing import TextKey
from so8t.core.types import DECISIONS, Decision, Domain, Excerpt, Floor, Opinion, Reply, Request, Turn, Verdict
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.answer_check import AnswerCheck
from so8t.operate.answering import Answer, Answering
from so8t.operate.gateway import MAX_QUERY, Gateway
from so8t.operate.review.draft import draft_of

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}{{ m.content }}{% endfor %}")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
SCORES = {A: [9.0, 0.0, 0.0], E: [0.0, 9.0, 0.0], D: [0.0, 0.0, 9.0]}
ASKED = Request("q-1", "会議の議事録を三行にまとめてください。", "社内限定", "社内限定", Domain.BUSINESS, user="社員甲")


@dataclass
class FakeLedger:
    """Keeps what it is given; the futures are resolved by the test."""

    futures: list[Future[Entry]] = field(default_factory=list)
    bodies: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    at_once: Entry | None = None

    def append(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Future[Entry]:
        future: Future[Entry] = Future()
        self.bodies.append((kind, json.loads(json.dumps(body)), dict(text or {})))
        self.futures.append(future)
        if self.at_once:
            future.set_result(self.at_once)
        return future


ENTRY = Entry(7, "t", "decision", b"\x01" * 32)


def gateway(ledger: Any, decision: Decision = A, backend: FakeBackend | None = None) -> Gateway:
    backend = backend or FakeBackend({"": SCORES[decision]}, answer="三行にまとめました。")
    model = ModelJudge(backend, CHAT, "compact", 1.0)
    return Gateway(TripleJudge(POLICY, model, PrecedentStore([]), ANY, Calibration()), ledger, Answering(backend))


def asked(
    request: Request = ASKED, decision: Decision = A, backend: FakeBackend | None = None
) -> tuple[Reply, FakeLedger]:
    ledger = FakeLedger(at_once=ENTRY)
    return asyncio.run(gateway(ledger, decision, backend).ask(request)), ledger


@pytest.mark.parametrize("decision", DECISIONS)
def test_no_reply_before_the_entry_is_durable(decision: Decision) -> None:
    async def main() -> None:
        ledger = FakeLedger()
        task = asyncio.create_task(gateway(ledger, decision).ask(ASKED))
        await asyncio.sleep(0.2)
        assert len(ledger.futures) == 1 and not task.done()
        ledger.futures[0].set_result(ENTRY)
        reply = await asyncio.wait_for(task, 5)
        assert reply.verdict.decision is decision
        assert (reply.ledger_seq, reply.ledger_head) == (7, "01" * 32)

    asyncio.run(main())


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_ledger_that_fails_answers_nothing(decision: Decision) -> None:
    class Full(FakeLedger):
        def append(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Future[Entry]:
            future = super().append(kind, body, text=text)
            future.set_exception(LedgerUnavailable(where="ledger.db", detail="disk"))
            return future

    with pytest.raises(LedgerUnavailable) as caught:
        asyncio.run(gateway(Full(), decision).ask(ASKED))
    assert "三行にまとめました" not in caught.value.render("ja") and caught.value.exit_code == 9


def test_a_ledger_that_refuses_at_once() -> None:
    class Closed(FakeLedger):
        def append(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Future[Entry]:
            raise LedgerUnavailable(detail="closed")

    with pytest.raises(LedgerUnavailable):
        asyncio.run(gateway(Closed()).ask(ASKED))


def test_an_asker_who_hangs_up_is_still_recorded() -> None:
    async def main() -> None:
        ledger = FakeLedger()
        task = asyncio.create_task(gateway(ledger).ask(ASKED))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(ledger.bodies) == 1

    asyncio.run(main())


def test_an_allowed_answer() -> None:
    reply, ledger = asked()
    assert reply.text == "三行にまとめました。" and reply.verdict.decision is A
    assert set(reply.ms) == {"judge", "answer", "ledger"} and all(v >= 0 for v in reply.ms.values())
    assert len(ledger.bodies) == 1


@pytest.mark.parametrize("decision", [E, D])
def test_only_allow_asks_the_model_for_words(decision: Decision) -> None:
    class Mute(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Generation:
            raise AssertionError("no answer was allowed")

    reply, _ = asked(decision=decision, backend=Mute({"": SCORES[decision]}))
    assert reply.verdict.decision is decision


def test_escalate_names_the_target_and_deny_the_reference() -> None:
    place = POLICY.domain(Domain.BUSINESS)
    handed, _ = asked(decision=E)
    assert place.escalation_target in handed.text and place.policy_refs[E] in handed.text
    denied, _ = asked(decision=D)
    assert place.policy_refs[D] in denied.text and place.escalation_target not in denied.text
    for reply in (handed, denied):
        assert "三行" not in reply.text and ASKED.query not in reply.text


def test_erasable_texts_are_not_in_the_body() -> None:
    secret = Request(
        "q-2", "会議の議事録 ひみつの合言葉 をまとめてください。", "社内限定", "社内限定", Domain.BUSINESS, "社員甲"
    )
    _, ledger = asked(secret, backend=FakeBackend({"": SCORES[A]}, answer="こたえの合言葉"))
    ((kind, body, text),) = ledger.bodies
    assert kind == "decision" and text == {"query": secret.query, "reply": "こたえの合言葉"}
    assert "合言葉" not in json.dumps(body, ensure_ascii=False)
    assert body["request_id"] == "q-2" and body["actor"] == "社員甲" and body["clearance"] == "社内限定"
    assert body["decision"] == "ALLOW" and body["policy_digest"] == POLICY.digest
    assert [o["judge"] for o in body["opinions"]] == ["rule", "model", "precedent"]


def objection(answer: str, request: Request, policy: Policy) -> str:
    return AnswerCheck(request, policy).objection(answer)


def answered(answer: str, request: Request = ASKED) -> tuple[Reply, str]:
    reply, ledger = asked(request, backend=FakeBackend({"": SCORES[A]}, answer=answer))
    return reply, ledger.bodies[0][1]["answer_withheld"]


@pytest.mark.parametrize(
    "answer",
    ["連絡先は 090-1234-5678 です。", "taro.yamada@example.co.jp へどうぞ。", "カードは 4111 1111 1111 1111 です。"],
)
def test_personal_data_is_withheld(answer: str) -> None:
    reply, withheld = answered(answer)
    assert withheld and answer not in reply.text and "差し止め" in reply.text
    for piece in ("090", "example.co.jp", "4111"):
        assert piece not in reply.text and piece not in withheld


def test_what_the_asker_brought_may_return() -> None:
    request = Request(
        "q", "宛先 taro@example.co.jp への会議の案内文を書いてください。", "社内限定", "社内限定", Domain.BUSINESS
    )
    answer = "taro@example.co.jp 様 ご案内いたします。"
    reply, withheld = answered(answer, request)
    assert (reply.text, withheld) == (answer, "")
    assert answered("hanako@example.co.jp 様", request)[1]


def test_a_name_in_an_answer_is_no_reason_to_withhold_it() -> None:
    """A draft addresses somebody; a passport number in it comes from nowhere the asker knows."""
    assert objection("山田太郎様\n会場は東京都港区芝公園4-2-8です。", ASKED, POLICY) == ""
    assert objection("山田太郎様 旅券番号:TK1234567", ASKED, POLICY)


def test_markings_above_the_clearance_are_withheld() -> None:
    for level, free in (("公開", True), ("社内限定", True), ("部外秘", False), ("極秘", False)):
        reply, withheld = answered(f"【{level}】の資料によれば以上です。")
        assert (withheld == "") is free, level
        assert ("以上です" in reply.text) is free
    assert objection("【極秘】以上", Request("q", "x", "極秘"), POLICY) == ""


@pytest.mark.parametrize(
    "hidden",
    ["【極\u200b秘】以上", "【極 秘 書 類】の【極\u00ad秘】", "090\u200b-1234-5678", "０９０－１２３４－５６７８"],
)
def test_a_disguised_answer_is_withheld_too(hidden: str) -> None:
    assert objection(hidden, ASKED, POLICY), hidden


def test_a_model_that_breaks_while_answering() -> None:
    class Half(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Generation:
            raise BackendDown(where="http://127.0.0.1:1")

    reply, ledger = asked(backend=Half({"": SCORES[A]}))
    assert "作れません" in reply.text and "BackendDown" in ledger.bodies[0][1]["answer_failed"]


def test_whatever_breaks_while_answering_the_verdict_is_recorded() -> None:
    class Odd(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Generation:
            raise TypeError("nobody expected this")

    reply, ledger = asked(backend=Odd({"": SCORES[A]}))
    assert "作れません" in reply.text and "nobody" not in reply.text
    assert "TypeError" in ledger.bodies[0][1]["answer_failed"]


def test_a_model_that_never_ends_its_answer() -> None:
    class Slow(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Generation:
            await asyncio.sleep(60)
            raise AssertionError

    made = gateway(FakeLedger(at_once=ENTRY), backend=Slow({"": SCORES[A]}))
    made.answering.seconds = 0.05
    reply = asyncio.run(asyncio.wait_for(made.ask(ASKED), 5))
    assert "作れません" in reply.text


def test_an_empty_answer_says_so() -> None:
    assert "何も答えません" in answered("")[0].text


def test_a_long_query_is_refused_before_anything_looks_at_it() -> None:
    backend, ledger = FakeBackend({"": SCORES[A]}), FakeLedger(at_once=ENTRY)
    with pytest.raises(RecordInvalid, match=str(MAX_QUERY)):
        asyncio.run(gateway(ledger, backend=backend).ask(Request("q", "あ" * (MAX_QUERY + 1))))
    assert backend.prompts == [] and [kind for kind, _, _ in ledger.bodies] == ["error"]
    asyncio.run(gateway(ledger, backend=backend).ask(Request("q", "あ" * MAX_QUERY)))
    assert [kind for kind, _, _ in ledger.bodies] == ["error", "decision"]


@pytest.mark.parametrize("query", ["", " \n\u3000"])
def test_nothing_is_asked_of_nobody(query: str) -> None:
    backend, ledger = FakeBackend({"": SCORES[A]}), FakeLedger(at_once=ENTRY)
    with pytest.raises(RecordInvalid, match="empty"):
        asyncio.run(gateway(ledger, backend=backend).ask(Request("q", query)))
    assert backend.prompts == [] and [kind for kind, _, _ in ledger.bodies] == ["error"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(LevelUnknown):
        asked(Request("q", "x", clearance="最高機密"))


def test_through_a_real_ledger(tmp_path: Path) -> None:
    key, texts = signing.load_or_create(tmp_path / "k"), TextKey.generate()
    path = tmp_path / "ledger.db"

    async def main(ledger: Ledger) -> list[Reply]:
        made = gateway(ledger)
        return list(
            await asyncio.gather(*(made.ask(Request(f"q-{n}", ASKED.query, "社内限定", "公開")) for n in range(8)))
        )

    with Ledger(path, key, texts) as ledger:
        replies = asyncio.run(main(ledger))
    assert sorted(r.ledger_seq for r in replies) == list(range(2, 10))
    heads = {b["seq"]: b["hash"] for b in tail(path, 8)}
    assert all(heads[r.ledger_seq] == r.ledger_head for r in replies)
    assert LedgerReader(path, texts).texts(replies[0].ledger_seq)["query"] == ASKED.query
    report = verify(path, public_key=key.public_key())
    assert report.ok and report.entries == 9


OUTSIDE = Floor("mail.outside", E, "宛先が社外です。")


def worked(work: Any, request: Request = ASKED, decision: Decision = A) -> tuple[Reply, FakeLedger]:
    ledger = FakeLedger(at_once=ENTRY)
    made = gateway(ledger, decision)
    made.works["minutes"] = work
    order = dataclasses.replace(request, task="minutes", order='{"title":"定例"}')
    return asyncio.run(made.ask(order)), ledger


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_floor_of_the_request_is_never_gone_below(decision: Decision) -> None:
    reply, ledger = asked(dataclasses.replace(ASKED, floors=(OUTSIDE,)), decision)
    assert reply.verdict.decision is E  # a model that would refuse disagrees with the floor: a person
    assert OUTSIDE.rule in reply.verdict.rules and OUTSIDE.rule in ledger.bodies[0][1]["rules"]
    assert any(o.reason == OUTSIDE.reason for o in reply.verdict.opinions)


def test_a_floor_beside_the_judgement_leaves_a_refusal_what_it_is() -> None:
    """Of a tool, say: why that is no floor of the request (docs/decisions/0021-office-work.md)."""
    changes = Opinion("tool", E, rules=("tool:x:changes",), floor=E)
    for decision, verdict in ((A, E), (E, E), (D, D)):
        ledger = FakeLedger(at_once=ENTRY)
        made, _ = asyncio.run(gateway(ledger, decision).decide(ASKED, (changes,)))
        assert made.decision is verdict and "tool:x:changes" in ledger.bodies[0][1]["rules"]


def test_work_takes_the_place_of_the_one_answer_and_is_not_asked_where_nothing_is_allowed() -> None:
    called = []

    async def work(request: Request, domain: Any, judge: Any) -> Answer:
        called.append(request.order)
        return Answer("議事録", made={"items": 3})

    reply, ledger = worked(work)
    assert (reply.text, reply.made) == ("議事録", {"items": 3})
    kind, body, texts = ledger.bodies[0]
    assert (kind, body["task"], texts["order"]) == ("decision", "minutes", called[0]) and "order" not in body
    assert "引き継ぎ" in worked(work, decision=E)[0].text
    assert len(called) == 1


def test_what_only_the_finished_text_shows_hands_it_over() -> None:
    async def work(request: Request, domain: Any, judge: Any) -> Answer:
        return Answer("【部外秘】下書き", floor=OUTSIDE)

    reply, ledger = worked(work)
    assert reply.verdict.decision is E and "下書き" not in reply.text and reply.made is None
    ((kind, body, texts),) = ledger.bodies
    assert kind == "decision" and "下書き" not in str(body) and "下書き" not in texts["reply"]
    assert texts["draft"] == "【部外秘】下書き" and body["review"]["classification"] == "部外秘"


def drafted(draft: Any, decision: Decision = E) -> tuple[Reply, FakeLedger]:
    ledger = FakeLedger(at_once=ENTRY)
    made = gateway(ledger, decision)
    made.drafts = {"mail": draft}
    return asyncio.run(made.ask(dataclasses.replace(ASKED, task="mail"))), ledger


def test_who_decides_is_shown_a_draft_and_who_asked_is_not() -> None:
    async def draft(request: Request, verdict: Verdict, judge: Any) -> Answer:
        assert verdict.decision is E
        return Answer("【部外秘】下書き", made={"body": "下書き"})

    reply, ledger = drafted(draft)
    assert "引き継ぎ" in reply.text and reply.made is None
    ((_, body, texts),) = ledger.bodies
    assert draft_of(texts) == Answer("【部外秘】下書き", made={"body": "下書き"})
    assert body["review"]["classification"] == "部外秘"  # of what the reviewer is shown, not of the order alone


def test_no_draft_of_what_is_refused() -> None:
    async def draft(request: Request, verdict: Verdict, judge: Any) -> Answer:
        raise AssertionError

    _, ledger = drafted(draft, D)
    assert "draft" not in ledger.bodies[0][2] and ledger.bodies[0][1]["answer_failed"] == ""


def test_a_draft_that_cannot_be_made_keeps_nobody_from_deciding() -> None:
    async def draft(request: Request, verdict: Verdict, judge: Any) -> Answer:
        raise ZeroDivisionError

    reply, ledger = drafted(draft)
    assert reply.verdict.decision is E and draft_of(ledger.bodies[0][2]) is None and "review" in ledger.bodies[0][1]


def test_what_was_shown_is_what_is_released() -> None:
    made, shown = gateway(ledger := FakeLedger(at_once=ENTRY)), Answer("見せた下書き", made={"n": 1})
    _, answer = asyncio.run(made.answer_reviewed(dataclasses.replace(ASKED, task="mail"), 1, 2, shown))
    _, body, texts = ledger.bodies[-1]
    assert answer == shown and body["as_shown"] is True
    assert texts["reply"] == "見せた下書き" and json.loads(texts["made"]) == {"n": 1}


def test_work_that_breaks_is_recorded_as_a_failed_answer() -> None:
    async def work(request: Request, domain: Any, judge: Any) -> Answer:
        raise ZeroDivisionError

    reply, ledger = worked(work)
    assert reply.failed == "ZeroDivisionError" and ledger.bodies[0][1]["answer_failed"] == "ZeroDivisionError"


def test_a_task_that_nobody_does_fails_and_is_recorded() -> None:
    ledger = FakeLedger(at_once=ENTRY)
    reply = asyncio.run(gateway(ledger).ask(dataclasses.replace(ASKED, task="unknown")))
    assert reply.failed == "KeyError" and len(ledger.bodies) == 1


def test_a_stop_in_the_middle_of_an_answer_is_recorded_as_one() -> None:
    class Slow(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Generation:
            await asyncio.sleep(60)
            raise AssertionError

    async def main() -> None:
        ledger = FakeLedger(at_once=ENTRY)
        made = gateway(ledger, A, Slow({"": SCORES[A]}))
        task = asyncio.create_task(made.ask(ASKED))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await made.settled()
        assert [body["answer_aborted"] for _, body, _ in ledger.bodies] == [True]

    asyncio.run(main())


def test_what_a_reviewed_text_shows_for_the_first_time_keeps_it_back() -> None:
    async def work(request: Request, domain: Any, judge: Any) -> Answer:
        known = {floor.rule for floor in request.floors}
        return Answer("下書き", floor=None if OUTSIDE.rule in known else OUTSIDE)

    made = gateway(FakeLedger(at_once=ENTRY))
    made.works["mail"] = work
    order = dataclasses.replace(ASKED, task="mail")
    _, kept = asyncio.run(made.answer_reviewed(order, 1, 2))
    assert kept.withheld == OUTSIDE.reason and "下書き" not in kept.text
    _, told = asyncio.run(made.answer_reviewed(dataclasses.replace(order, floors=(OUTSIDE,)), 1, 2))
    assert told.text == "下書き"


@pytest.mark.parametrize(
    "more",
    [
        {"history": (Turn("user", "【極秘】買収の相手は乙社。"),)},
        {"documents": (Excerpt("d", "p", "極秘", "本文"),)},
        {"documents": (Excerpt("d", "p", "公開", "【極秘】本文"),)},
        {"history": (Turn("assistant", "【極\u200b秘】買収の相手は乙社。"),)},
    ],
)
def test_a_reviewer_must_be_cleared_for_all_that_he_is_shown(more: dict[str, Any]) -> None:
    request = dataclasses.replace(ASKED, clearance="極秘", classification=None, **more)
    _, ledger = asked(request, E)
    assert ledger.bodies[0][1]["review"]["classification"] == "極秘"
