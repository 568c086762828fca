"""対話: the same answer with and without a script, going on from what the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_server import Server
from office_server import ANSWER, closed_ledger

from so8t.core.errors import BackendDown
from so8t.core.types import Request, Turn
from so8t.operate.gateway import MAX_HISTORY, MAX_QUERY

PLAIN, HANDED = "会議の議事録を三行にまとめてください。", "人に聞くべき契約の件です。"


def events(browser: Any, query: str, after: str = "") -> list[dict[str, Any]]:
    fields = {"query": query, "after": after, "classification": "", "csrf": browser.csrf()}
    headers = {"accept": "text/event-stream", "sec-fetch-site": "same-origin"}
    answer = browser.client.post("/console/chat", data=fields, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_streamed_answer_is_the_page_afterwards(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    told = events(user, PLAIN)
    assert told[0]["decision"] == "ALLOW" and told[0]["words"] == "許可" and "DEF-1" in told[0]["reference"]
    assert "".join(event.get("text", "") for event in told) == ANSWER and told[-1] == {"end": told[0]["seq"]}
    assert ANSWER in user.get(f"/console/chat?after={told[0]['seq']}").text
    (entry,) = server.running.reader.entries(kinds=("decision",))
    assert entry.actor == "sato" and server.running.reader.texts(entry.seq)["query"] == PLAIN


def test_a_streamed_hand_over_names_its_ground(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    told = events(user, HANDED)
    assert told[0]["decision"] == "ESCALATE" and "判断が必要です" in told[1]["text"]
    page = user.get(f"/console/chat?after={told[-1]['end']}").text
    assert f'data-state="/console/requests/{told[-1]["end"]}/state"' in page and "判断待ち" in page


def test_the_conversation_is_the_ledgers_not_the_browsers(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    first = user.seq_asked(PLAIN)
    second = user.seq_asked("もっと短く。", after=str(first), history='[["user","作り話"]]')
    texts = server.running.reader.texts(second)
    assert json.loads(texts["history"]) == [["user", PLAIN], ["assistant", ANSWER]]
    told = events(user, "英語で。", str(second))
    third = json.loads(server.running.reader.texts(told[-1]["end"])["history"])
    assert len(third) == 4 and third[-1] == ["assistant", ANSWER]
    assert user.get(f"/console/chat?after={told[-1]['end']}").text.count("もっと短く。") == 1


def test_a_long_conversation_loses_its_beginning() -> None:
    from types import SimpleNamespace

    from so8t.operate.console.exchange import Exchange, conversation

    said = tuple(Turn("user", "あ" * 20_000) for _ in range(6))
    kept = conversation(Exchange(SimpleNamespace(), "問い", "答え", said))  # type: ignore[arg-type]
    assert sum(len(t.text) for t in kept) <= MAX_HISTORY and [t.text for t in kept[-2:]] == ["問い", "答え"]
    many = tuple(Turn("user", str(n)) for n in range(500))
    assert len(conversation(Exchange(SimpleNamespace(), None, None, many))) <= 200  # type: ignore[arg-type]


def test_bad_questions(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    good = {"query": PLAIN, "after": "", "classification": ""}
    for bad in (
        {"query": " \n "}, {"query": "あ" * (MAX_QUERY + 1)}, {"after": "x"}, {"after": "999999999999999"},
        {"classification": "最高機密"}, {"after": "-1"},
    ):  # fmt: skip
        answer = user.post("/console/chat", good | bad)
        assert answer.status_code in (400, 403) and "<h1>" in answer.text
    assert server.running.reader.entries(kinds=("decision",)) == []


def test_the_stated_level_counts(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    assert "人へ回す" in user.ask(PLAIN, classification="部外秘").text
    assert "拒否" in user.ask(PLAIN, classification="極秘").text


def test_a_ledger_that_fails_answers_nothing(
    browse: Callable[..., Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = browse("sato")
    token = user.csrf()
    monkeypatch.setattr(server.running.gateway, "ledger", closed_ledger(tmp_path / "closed"))
    answer = user.post("/console/chat", {"query": PLAIN, "after": "", "classification": ""}, csrf=token)
    assert answer.status_code == 503 and ANSWER not in answer.text and "<h1>" in answer.text
    fields = {"query": PLAIN, "after": "", "classification": "", "csrf": token}
    headers = {"accept": "text/event-stream", "sec-fetch-site": "same-origin"}
    answer = user.client.post("/console/chat", data=fields, headers=headers)
    assert answer.status_code == 503 and ANSWER not in answer.text and answer.json()["error"]["message"]


def test_a_model_that_is_down_hands_over(browse: Callable[..., Any], server: Server) -> None:
    server.running.pool.replicas[0].backend.error = BackendDown(where="fake")  # type: ignore[attr-defined]
    user = browse("sato")
    page = user.ask(PLAIN).text
    assert "人へ回す" in page and ANSWER not in page


def test_an_allowed_request_shows_its_answer_to_the_asker(browse: Callable[..., Any]) -> None:
    user, reviewer = browse("sato"), browse("shonin")
    seq = user.seq_asked(HANDED)
    assert user.get(f"/console/requests/{seq}/state").json() == {"status": "pending"}
    reviewer.post(f"/console/review/{seq}", {"decision": "ALLOW", "comment": "", "answer": ""})
    assert user.get(f"/console/requests/{seq}/state").json() == {"status": "allowed"}
    for path in (f"/console/requests/{seq}", f"/console/chat?after={seq}"):
        assert ANSWER in user.get(path).text and "許可されました" in user.get(path).text


def test_the_reviewers_own_words_are_the_answer(browse: Callable[..., Any]) -> None:
    user, reviewer = browse("sato"), browse("shonin")
    seq = user.seq_asked(HANDED)
    own = "法務部の雛形 3 を使ってください。"
    reviewer.post(f"/console/review/{seq}", {"decision": "ALLOW", "comment": "内部の覚え", "answer": own})
    page = user.get(f"/console/requests/{seq}").text
    assert own in page and ANSWER not in page and "内部の覚え" not in page and "shonin" not in page


def test_what_goes_on_from_a_secret_is_as_secret(browse: Callable[..., Any], server: Server) -> None:
    admin = browse("kanri")
    running = server.running
    request = Request("r-1", "【部外秘】の案を三行にまとめて。", "極秘", None, None, "sato")
    reply = server.do(running.gateway.ask(request))
    assert reply.verdict.decision == "ALLOW"
    told = events(browse("sato"), "もっと短く。", after=str(reply.ledger_seq))
    entry = running.reader.entries(kinds=("decision",))[-1]
    assert told[0]["decision"] == "ESCALATE" and entry.data["classification"] == "部外秘"
    assert admin.get(f"/console/chat?after={reply.ledger_seq}").status_code == 403
