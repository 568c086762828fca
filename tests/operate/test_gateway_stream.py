"""A streamed answer: verdict durable first, each sentence looked at, every end recorded, also the asker's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from office_server import ANSWER, POLICY, SCORES, build

from so8t.ask.backend import FakeBackend, Piece
from so8t.core.errors import BackendDown, LedgerUnavailable
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.types import Decision, Request, Turn
from so8t.operate.answer_check import LONGEST, AnswerCheck, next_sentence
from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import Gateway

ASKED = Request("q-1", "会議の議事録を三行にまとめてください。", "社内限定", "社内限定", None, "社員甲")


@contextmanager
def office(folder: Path, backend: FakeBackend) -> Iterator[tuple[Gateway, LedgerReader]]:
    folder.mkdir(exist_ok=True)
    gateway, _, ledger, texts, authenticator = build(folder, backend)
    try:
        yield gateway, LedgerReader(folder / "ledger.db", texts)
    finally:
        authenticator.close()
        ledger.close()


def said(folder: Path, backend: FakeBackend, request: Request = ASKED) -> tuple[list[str], list[Stored], LedgerReader]:
    async def main(gateway: Gateway) -> list[str]:
        stream = await gateway.stream(request)
        return [sentence async for sentence in stream.sentences]

    with office(folder, backend) as (gateway, reader):
        sentences = asyncio.run(main(gateway))
        return sentences, reader.entries(kinds=("decision", "answer")), reader


def test_sentences_and_two_entries(tmp_path: Path) -> None:
    sentences, (decision, answer), reader = said(tmp_path, FakeBackend(SCORES, answer=ANSWER))
    assert sentences == ["三行にまとめました。", "一つめは予算です。", "二つめは人です。"]
    assert reader.texts(decision.seq) == {"query": ASKED.query} and reader.texts(answer.seq) == {"reply": ANSWER}
    assert (answer.data["decision_seq"], answer.data["answer_aborted"], answer.actor) == (decision.seq, False, "社員甲")


@pytest.mark.parametrize("word", ["人に聞く", "禁じる"])
def test_a_refusal_is_one_entry(tmp_path: Path, word: str) -> None:
    sentences, entries, reader = said(tmp_path, FakeBackend(SCORES), Request("q", word, user="社員甲"))
    assert len(sentences) == len(entries) == 1 and reader.texts(entries[0].seq)["reply"] == sentences[0]


def test_nothing_after_the_first_objection(tmp_path: Path) -> None:
    answer = "担当は総務です。連絡先は 090-1234-5678 です。以上です。"
    sentences, (_, ended), _ = said(tmp_path, FakeBackend(SCORES, answer=answer))
    assert sentences[0] == "担当は総務です。" and "差し止め" in sentences[-1]
    assert not any("090" in s or "以上" in s for s in sentences)
    assert ended.data["answer_withheld"] and "090" not in str(ended.data)


def test_the_last_sentence_waits_for_its_entry(tmp_path: Path) -> None:
    async def main(gateway: Gateway) -> None:
        stream = await gateway.stream(ASKED)
        seen = []
        with pytest.raises(LedgerUnavailable):
            async for sentence in stream.sentences:
                seen.append(sentence)
                if len(seen) == 1:
                    gateway.ledger.close()
        assert seen == ["三行にまとめました。", "一つめは予算です。"]

    with office(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as (gateway, _):
        asyncio.run(main(gateway))


def test_no_sentence_without_a_durable_verdict(tmp_path: Path) -> None:
    backend = FakeBackend(SCORES, answer=ANSWER)
    with office(tmp_path, backend) as (gateway, _):
        gateway.ledger.close()
        with pytest.raises(LedgerUnavailable):
            asyncio.run(gateway.stream(ASKED))
    assert len(backend.prompts) == 1  # judged, never answered


def test_an_asker_who_leaves_is_recorded_with_what_left(tmp_path: Path) -> None:
    async def main(gateway: Gateway) -> None:
        stream = await gateway.stream(ASKED)
        async with aclosing(stream.sentences) as sentences:
            async for _ in sentences:
                break
        await gateway.settled()

    with office(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as (gateway, reader):
        asyncio.run(main(gateway))
        _, ended = reader.entries(kinds=("decision", "answer"))
        assert ended.data["answer_aborted"] is True and reader.texts(ended.seq)["reply"] == "三行にまとめました。"


def test_leaving_ends_the_work_upstream(tmp_path: Path) -> None:
    class Endless(FakeBackend):
        closed = False

        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            try:
                while True:
                    yield Piece("まだ続きます。")
                    await asyncio.sleep(0)
            finally:
                self.closed = True

    async def main(gateway: Gateway) -> None:
        stream = await gateway.stream(ASKED)
        async with aclosing(stream.sentences) as sentences:
            async for _ in sentences:
                break

    backend = Endless(SCORES)
    with office(tmp_path, backend) as (gateway, _):
        asyncio.run(main(gateway))
    assert backend.closed


def test_an_upstream_that_breaks_in_the_middle_ends_well_formed(tmp_path: Path) -> None:
    class Half(FakeBackend):
        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece("一つめです。二")
            raise BackendDown(where="http://127.0.0.1:1")

    sentences, (_, ended), _ = said(tmp_path, Half(SCORES))
    assert sentences[0] == "一つめです。" and "作れません" in sentences[-1]
    assert ended.data["answer_failed"] == "BackendDown"


def test_an_answer_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    class Slow(FakeBackend):
        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece("一つめです。")
            await asyncio.sleep(60)
            yield Piece("")

    async def main(gateway: Gateway) -> list[str]:
        gateway.answering.seconds = 0.1
        stream = await gateway.stream(ASKED)
        return [s async for s in stream.sentences]

    with office(tmp_path, Slow(SCORES)) as (gateway, _):
        assert "作れません" in asyncio.run(main(gateway))[-1]


# -- sentences and what is looked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("終わり。次", "終わり。"), ("終わり。」次", "終わり。」"), ("本当?!はい", "本当?!"), ("値は 3.14 です", ""),
        ("See a.b. Then", "See a.b."), ("まだ", ""), ("終わり。", ""), ("一行\n", "一行\n"),
        ("あ" * 500, "あ" * LONGEST),
    ],
)  # fmt: skip
def test_where_a_sentence_ends(text: str, first: str) -> None:
    assert text[: next_sentence(text)] == first


@pytest.mark.parametrize("parts", [["カードは 4111 1111", " 1111 1111 です。"], ["連絡先 taro", "@example.co.jp。"]])
def test_what_crosses_two_parts_is_found(parts: list[str]) -> None:
    check = AnswerCheck(ASKED, POLICY)
    assert check.objection(parts[0]) == "" and check.objection(parts[1])


def test_what_was_said_before_may_return() -> None:
    turns = (Turn("user", "宛先は taro@example.co.jp です。"), Turn("assistant", "hanako@example.co.jp ですね。"))
    check = AnswerCheck(Request("q", "案内文を書いて。", history=turns), POLICY)
    assert check.objection("taro@example.co.jp 様。") == ""
    assert check.objection("hanako@example.co.jp 様。")  # only the model said so, or somebody in its name


def test_the_decision_is_the_same_streamed_or_not(tmp_path: Path) -> None:
    async def main(gateway: Gateway) -> set[Decision]:
        whole, stream = await gateway.ask(ASKED), await gateway.stream(ASKED)
        assert "".join([s async for s in stream.sentences]) == whole.text
        return {whole.verdict.decision, stream.verdict.decision}

    with office(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as (gateway, _):
        assert asyncio.run(main(gateway)) == {Decision.ALLOW}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("padding", range(0, 24, 5))
def test_a_code_is_read_as_a_whole_however_it_is_cut(padding: int) -> None:
    """A mark near the end of a long run: every window that the check reads begins where the run does."""
    run = encoded("あ" * (170 + padding) + "【極秘】の計画はこうです。")
    check = AnswerCheck(Request("q", "資料を読んで。", "公開"), POLICY)
    objections, rest = [], run + "。"
    while rest:
        end = next_sentence(rest) or len(rest)
        objections.append(check.objection(rest[:end]))
        rest = rest[end:]
    assert any(objections)
    assert AnswerCheck(Request("q", "資料を読んで。", "公開"), POLICY).objection(run)


def test_personal_data_in_a_code_is_found() -> None:
    check = AnswerCheck(ASKED, POLICY)
    assert check.objection(encoded("連絡先は taro@example.co.jp と 090-1234-5678 です。"))


def test_a_code_that_cannot_be_read_does_not_leave() -> None:
    opaque = base64.b64encode(hashlib.sha512(b"x").digest() * 4).decode()
    assert "読み解けない" in AnswerCheck(ASKED, POLICY).objection(f"これです。{opaque}")


def test_a_stop_string_does_not_hide_what_withholds_the_whole(tmp_path: Path) -> None:
    async def main(gateway: Gateway, stop: str) -> str:
        return (await gateway.ask(ASKED, AnswerOptions(stop=(stop,)))).text

    with office(tmp_path, FakeBackend(SCORES, answer="計画の中身です。【極秘】以上。")) as (gateway, _):
        assert "計画の中身" not in asyncio.run(main(gateway, "【"))
    with office(tmp_path / "b", FakeBackend(SCORES, answer="一つめです。###二つめです。")) as (gateway, _):
        assert asyncio.run(main(gateway, "###")) == "一つめです。"


def test_what_breaks_before_the_model_is_asked_is_recorded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr("so8t.operate.answering.AnswerCheck", broken)
    sentences, entries, _ = said(tmp_path, FakeBackend(SCORES, answer=ANSWER))
    assert "作れません" in sentences[-1] and entries[-1].data["answer_failed"] == "RecursionError"


def test_one_who_leaves_before_the_first_sentence_is_recorded_too(tmp_path: Path) -> None:
    async def main(gateway: Gateway) -> None:
        stream = await gateway.stream(ASKED)
        await stream.sentences.aclose()
        await gateway.settled()

    backend = FakeBackend(SCORES, answer=ANSWER)
    with office(tmp_path, backend) as (gateway, reader):
        asyncio.run(main(gateway))
        decision, ended = reader.entries(kinds=("decision", "answer"))
        assert ended.data["decision_seq"] == decision.seq and ended.data["answer_aborted"] is True
        assert reader.texts(ended.seq)["reply"] == "" and len(backend.prompts) == 1  # never asked for an answer
