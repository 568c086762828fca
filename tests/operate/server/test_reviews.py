"""Ask, be handed over, be decided, read the answer: over HTTP, each only for whom it is."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from office_server import ANSWER, Server

from so8t.judge.precedent import Asked
from so8t.operate.server import reviews

ASKED = "人に聞くべき契約の件です。"


def call(server: Server, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
    with httpx.Client(trust_env=False, headers=server.headers(who), timeout=30) as client:
        return client.request(method, f"{server.address}{path}", json=body)


@pytest.fixture
def seq(server: Server) -> int:
    body = {"model": "so8t", "messages": [{"role": "user", "content": ASKED}]}
    told = call(server, "user", "POST", "/v1/chat/completions", body).json()["so8t"]
    assert told["decision"] == "ESCALATE"
    return int(told["ledger"]["seq"])


def test_ones_own_requests_come_in_pages(server: Server, seq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "PAGE", 1)
    body = {"model": "so8t", "messages": [{"role": "user", "content": ASKED}]}
    later = call(server, "user", "POST", "/v1/chat/completions", body).json()["so8t"]["ledger"]["seq"]
    first = call(server, "user", "GET", "/so8t/v1/requests").json()
    assert [one["seq"] for one in first["requests"]] == [later] and first["more"] is True
    second = call(server, "user", "GET", f"/so8t/v1/requests?before={later}").json()
    assert [one["seq"] for one in second["requests"]] == [seq] and second["more"] is False
    assert call(server, "user", "GET", "/so8t/v1/requests?before=x").status_code == 400


def test_from_request_to_answer(server: Server, seq: int) -> None:
    own = call(server, "user", "GET", f"/so8t/v1/requests/{seq}").json()
    assert (own["status"], own["answer"]) == ("pending", None) and "opinions" not in own
    (waiting,) = call(server, "reviewer", "GET", "/so8t/v1/reviews").json()["reviews"]
    assert waiting["seq"] == seq and len(waiting["opinions"]) == 3
    assert call(server, "reviewer", "GET", f"/so8t/v1/reviews/{seq}").json()["texts"]["query"] == ASKED
    read = server.reader.entries(kinds=("access",))[-1]
    assert (read.data["event"], read.data["seq"], read.actor) == ("text_read", seq, "reviewer")
    made = call(server, "reviewer", "POST", f"/so8t/v1/reviews/{seq}", {"decision": "ALLOW", "comment": "一般論"})
    assert made.json()["status"] == "allowed"
    own = call(server, "user", "GET", f"/so8t/v1/requests/{seq}").json()
    assert (own["status"], own["answer"]) == ("allowed", ANSWER)
    assert call(server, "reviewer", "POST", f"/so8t/v1/reviews/{seq}", {"decision": "DENY"}).status_code == 409


@pytest.mark.parametrize(
    ("who", "method", "path"),
    [
        ("user", "GET", "/so8t/v1/reviews"), ("user", "GET", "/so8t/v1/reviews/{seq}"),
        ("user", "POST", "/so8t/v1/reviews/{seq}"), ("auditor", "POST", "/so8t/v1/reviews/{seq}"),
        ("admin", "GET", "/so8t/v1/requests/{seq}"), ("auditor", "GET", "/so8t/v1/requests/{seq}"),
        ("user", "POST", "/so8t/v1/reviews/{seq}/assign"),
    ],
)  # fmt: skip
def test_only_for_whom_it_is(server: Server, seq: int, who: str, method: str, path: str) -> None:
    answer = call(server, who, method, path.format(seq=seq), {"decision": "ALLOW", "target": "上長"})
    assert answer.status_code == 403 and ASKED not in answer.text
    assert server.reader.entries(kinds=("review",)) == []


FOREIGN = (
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:9"}, {"sec-fetch-site": "cross-site"},
    {"origin": "http://evil.example"}, {"origin": "null"},
)  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_cannot_use_a_reviewers_cookie(server: Server, seq: int, headers: dict[str, str]) -> None:
    """CSRF: a form on another port of this host may send JSON as text/plain, and the browser adds the cookie."""

    async def log_in() -> str:
        await server.running.authenticator.accounts.set_password("reviewer", "correct horse 9 battery", by="test")
        session = await server.running.authenticator.login("reviewer", "correct horse 9 battery", "127.0.0.1")
        return server.running.authenticator.set_cookie(session).split(";")[0]

    cookie = asyncio.run_coroutine_threadsafe(log_in(), server.loop).result(30)
    url, body = f"{server.address}/so8t/v1/reviews/{seq}", '{"decision": "ALLOW"}'
    with httpx.Client(trust_env=False, headers={"cookie": cookie, "content-type": "text/plain"}) as client:
        assert client.post(url, content=body, headers=headers).status_code == 403
        assert server.reader.entries(kinds=("review",)) == []
        own = {"origin": server.address, "sec-fetch-site": "same-origin"}
        assert client.post(url, content=body, headers=own).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"decision": "ESCALATE"}, {"decision": "ALLOW", "comment": 5}, {"decision": "DENY", "answer": "x"}]
)
def test_bad_decisions(server: Server, seq: int, body: Any) -> None:
    assert call(server, "reviewer", "POST", f"/so8t/v1/reviews/{seq}", body).status_code == 400


def test_what_was_never_handed_over(server: Server) -> None:
    assert call(server, "reviewer", "GET", "/so8t/v1/reviews/999").status_code == 400
    for number in ("x", "9" * 5000, "-1", "１"):
        assert call(server, "reviewer", "GET", f"/so8t/v1/reviews/{number}").status_code == 400


def test_a_reviewers_decision_is_a_precedent_for_the_next(server: Server, seq: int) -> None:
    call(server, "reviewer", "POST", f"/so8t/v1/reviews/{seq}", {"decision": "ALLOW"})
    store = server.gateway.judge.precedents
    ((ruled, likeness),) = store.rulings(ASKED, 0.6)
    assert (ruled.by, ruled.decision, ruled.asked) == ("reviewer", "ALLOW", Asked("user", "社内限定", None))
    assert likeness == pytest.approx(1.0)
