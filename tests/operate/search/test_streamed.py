"""An answer from documents as it comes: the same as at once, its end in the ledger whoever leaves, nothing unjudged."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from office_files import OfficeFiles
from office_server import Server, closed_ledger, running

from so8t.ask.backend import FakeBackend, Piece
from so8t.core.errors import BackendDown, LedgerUnavailable
from so8t.core.ledger_read import Stored
from so8t.core.serve_config import SearchConfig
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.search.service import DocumentSearch
from so8t.operate.search.sourced import NOT_FOUND
from so8t.operate.search.streamed import SourcedStream, stream

TRAVEL = "出張の旅費は、帰着の日から七日以内に精算します。"
MADE_UP = "遅れると翌月の給与から差し引かれます。"
LAST = "詳しくは旅費の規程をご覧ください。"
QUESTION = {"query": "旅費の精算はいつまで?"}
ALLOWED = {"": [9.0, 0.0, 0.0]}
SATO = Identity("sato", frozenset({Role.USER}), "社内限定", "key")


def searched(office: OfficeFiles) -> SearchConfig:
    office.write("社内限定/旅費.txt", f"第三条 {TRAVEL}")
    office.write("公開/案内.txt", "旅費の窓口は総務課です。精算もこちらへ。")
    office.write("極秘/旅費の裏.txt", "役員の旅費は別に精算します。")
    office.update()
    return SearchConfig(index=str(office.store.path), folders=office.config.folders)


@pytest.fixture
def start(office: OfficeFiles, tmp_path: Path) -> Any:
    """start(backend): the running office over the documents above."""

    @contextmanager
    def started(backend: FakeBackend) -> Iterator[Server]:
        with running(tmp_path, backend, searched(office)) as server:
            yield server

    return started


def events(server: Server, body: dict[str, Any] = QUESTION, who: str = "user") -> list[dict[str, Any]]:
    with httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client:
        answer = client.post("/so8t/v1/answer", json={**body, "stream": True}, headers=server.headers(who))
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    *parts, rest = answer.text.split("\n\n")
    assert rest == ""
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def whole(server: Server, body: dict[str, Any] = QUESTION) -> dict[str, Any]:
    with httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client:
        return client.post("/so8t/v1/answer", json=body, headers=server.headers()).json()  # type: ignore[no-any-return]


def apart(told: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between two answers: their place in the ledger."""
    return {key: value for key, value in told.items() if key != "ledger"}


def test_verdict_first_then_each_sentence_then_what_is_told_at_once(start: Any) -> None:
    with start(FakeBackend(ALLOWED, answer=f"{TRAVEL}{MADE_UP}")) as server:
        first, *sentences, last = events(server)
        begun, end = first["begin"], last["end"]
        assert begun["decision"] == "ALLOW" and begun["classification"] == "社内限定"
        assert {d["place"] for d in begun["documents"]} == {"旅費.txt", "案内.txt"}
        assert [one["sentence"] for one in sentences] == [
            {"text": TRAVEL, "source": 1},
            {"text": MADE_UP, "source": None},
        ]
        assert begun.items() <= end.items() and apart(end) == apart(whole(server))
        decision, answer = server.reader.entries(kinds=("decision", "answer"))[:2]
        assert begun["ledger"]["seq"] == decision.seq and decision.data["classification"] == "社内限定"
        assert decision.data["documents"] == [d["id"] for d in begun["documents"]]
        assert answer.data["decision_seq"] == decision.seq and answer.data["answer_aborted"] is False
        assert "documents" in server.reader.texts(decision.seq)
        assert server.reader.texts(answer.seq)["reply"] == f"{TRAVEL}{MADE_UP}"


@pytest.mark.parametrize(("score", "decision"), [([0.0, 9.0, 0.0], "ESCALATE"), ([0.0, 0.0, 9.0], "DENY")])
def test_what_is_not_allowed_is_a_notice(start: Any, score: list[float], decision: str) -> None:
    with start(FakeBackend({"": score}, answer=TRAVEL)) as server:
        first, notice, last = events(server)
        assert first["begin"]["decision"] == last["end"]["decision"] == decision
        assert notice["notice"] == last["end"]["notice"] == last["end"]["answer"] and last["end"]["sentences"] == []
        assert TRAVEL not in str((notice, last["end"]["answer"]))
        assert apart(last["end"]) == apart(whole(server))


def test_nothing_found_asks_nobody(start: Any) -> None:
    backend = FakeBackend(ALLOWED, answer=TRAVEL)
    with start(backend) as server:
        told = events(server, {"query": "裏の温泉"})
        assert told[0]["begin"]["decision"] is None and told[0]["begin"]["documents"] == []
        assert told[1] == {"notice": NOT_FOUND} and told[-1]["end"] == whole(server, {"query": "裏の温泉"})
        assert backend.prompts == []


def test_what_is_withheld_says_so_after_what_has_left(start: Any) -> None:
    with start(FakeBackend(ALLOWED, answer=f"{TRAVEL}連絡先は 090-1234-5678 です。{LAST}")) as server:
        _, sentence, notice, last = events(server)
        end = last["end"]
        assert sentence["sentence"]["source"] == 1 and "差し止め" in notice["notice"]
        assert end["withheld"] and end["notice"] == notice["notice"] and len(end["sentences"]) == 1
        assert "090" not in str(end) and LAST not in str(end)
        assert server.reader.entries(kinds=("answer",))[-1].data["answer_withheld"] == end["withheld"]


def test_an_upstream_that_breaks_in_the_middle_is_told_in_the_end(start: Any) -> None:
    class Half(FakeBackend):
        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece(f"{TRAVEL}二")
            raise BackendDown(where="http://127.0.0.1:1")

    with start(Half(ALLOWED)) as server:
        *_, notice, last = events(server)
        assert "作れません" in notice["notice"] and last["end"]["failed"] is True and "BackendDown" not in str(last)


def test_an_answer_cut_by_its_length_says_so(start: Any) -> None:
    class Cut(FakeBackend):
        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece(TRAVEL)
            yield Piece("途中", 2, False)

    with start(Cut(ALLOWED)) as server:
        end = events(server)[-1]["end"]
        assert end["cut"] is True and not end["withheld"] and end["notice"] == ""


def test_a_ledger_that_fails_ends_the_stream_with_its_error(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closed_ledger(tmp_path / "closed")

    class Closing(FakeBackend):
        fail: Any

        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece(f"{TRAVEL}{MADE_UP}以")
            self.fail()
            yield Piece("上です。", 9, True)

    backend = Closing(ALLOWED)
    with start(backend) as server, monkeypatch.context() as patched:
        backend.fail = lambda: patched.setattr(server.gateway, "ledger", closed)
        *_, last = events(server)
        assert last["error"]["code"] == LedgerUnavailable.code and "end" not in last


@pytest.mark.parametrize("wrong", ["yes", 2, [], {}])
def test_a_flag_that_is_none_is_refused(start: Any, wrong: Any) -> None:
    with start(FakeBackend(ALLOWED)) as server, httpx.Client(base_url=server.address, trust_env=False) as client:
        body = {**QUESTION, "stream": wrong}
        assert client.post("/so8t/v1/answer", json=body, headers=server.headers()).status_code == 400


class Endless(FakeBackend):
    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
        while True:
            yield Piece(TRAVEL)
            await asyncio.sleep(0)


def test_a_client_that_hangs_up_is_in_the_ledger(start: Any) -> None:
    with start(Endless(ALLOWED)) as server:
        with (
            httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client,
            client.stream(
                "POST", "/so8t/v1/answer", json={**QUESTION, "stream": True}, headers=server.headers()
            ) as got,
        ):
            assert "begin" in next(got.iter_lines())
        (ended,) = recorded(server)
        assert ended.data["answer_aborted"] is True
        assert set(server.reader.texts(ended.seq)["reply"].split("。")) <= {TRAVEL.rstrip("。"), ""}


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_after_any_event_is_recorded(office: OfficeFiles, tmp_path: Path, taken: int) -> None:
    from office_server import build

    config = searched(office)
    gateway, *_, ledger, _, authenticator = build(tmp_path, Endless(ALLOWED))
    documents = DocumentSearch(gateway, config)

    async def left() -> SourcedStream:
        found = await documents.ask(SATO, QUESTION["query"], None, 10)
        made = await stream(gateway, SATO, QUESTION["query"], found)
        async with aclosing(made.events()) as told:
            for _ in range(taken):
                await anext(told)
        if not taken:  # a generator that was never begun has nothing to close
            assert made.stream is not None
            await made.stream.sentences.aclose()
        await gateway.settled()
        return made

    made = asyncio.run(left())
    assert made.stream is not None and made.stream.answer is not None and made.stream.answer.aborted
    documents.close()
    authenticator.close()
    ledger.close()


STREAMS = {
    "/so8t/v1/answer": {**QUESTION, "stream": True},
    "/v1/chat/completions": {"model": "so8t", "messages": [{"role": "user", "content": "旅費は?"}], "stream": True},
    "/api/generate": {"model": "so8t", "prompt": "旅費は?"},
}


@pytest.mark.parametrize("path", STREAMS)
def test_a_client_that_hangs_up_while_it_is_judged_is_in_the_ledger(start: Any, path: str) -> None:
    class Judging(Endless):
        asked, may = threading.Event(), threading.Event()

        async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
            self.asked.set()
            while not self.may.is_set():
                await asyncio.sleep(0.01)
            return await super().label_scores(prompt, labels)

    backend = Judging(ALLOWED)
    backend.asked.clear(), backend.may.clear()
    with start(backend) as server:
        body = json.dumps(STREAMS[path]).encode()
        with socket.create_connection(("127.0.0.1", httpx.URL(server.address).port or 0)) as client:
            fields = {"Host": "127.0.0.1", **server.headers(), "Content-Length": len(body)}
            head = "\r\n".join([f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""])
            client.sendall(head.encode() + body)
            assert backend.asked.wait(30)
        time.sleep(0.2)  # until the server has seen that nobody is there
        backend.may.set()
        (ended,) = recorded(server)
        assert ended.data["answer_aborted"] is True and server.reader.texts(ended.seq)["reply"] == ""


def recorded(server: Server) -> list[Stored]:
    """The ends of answers, once there is one."""
    end = time.monotonic() + 10
    while not (found := server.reader.entries(kinds=("answer",))) and time.monotonic() < end:
        time.sleep(0.05)
    return found
