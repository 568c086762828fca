"""MCP over streamable HTTP in the running server: the official SDK's client, its keys, and who is kept out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend
from so8t.operate.mcp.tools import TOOLS

INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as started:
        yield started


def session(server: Server, who: str, story: Callable[[ClientSession], Awaitable[None]]) -> None:
    async def go() -> None:
        async with (
            httpx.AsyncClient(headers=server.headers(who), trust_env=False, timeout=30) as http,
            streamable_http_client(f"{server.address}/mcp", http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as client,
        ):
            await client.initialize()
            await story(client)

    asyncio.run(asyncio.wait_for(go(), 60))


def post(server: Server, body: Any = INITIALIZE, **headers: str) -> httpx.Response:
    sent = {**server.headers(), **ACCEPT, **headers}
    return httpx.post(f"{server.address}/mcp", json=body, headers=sent, trust_env=False)


def test_a_users_day_over_http(server: Server) -> None:
    async def story(client: ClientSession) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == [tool.name for tool in TOOLS]
        asked = await client.call_tool("ask", {"query": "議事録を三行にまとめて。"})
        told = asked.structured_content
        assert not asked.is_error and told is not None and told["answer"] == ANSWER and told["decision"] == "ALLOW"
        entry = server.reader.entries(kinds=("decision",))[-1]
        assert (entry.seq, entry.actor) == (told["ledger"]["seq"], "user")
        mail = {"purpose": "日程を連絡する", "to": ["a@customer.example"]}
        told = (await client.call_tool("mail_draft", mail)).structured_content
        assert told is not None and told["so8t"]["decision"] == "ESCALATE"
        transcript = "司会: では三月二十日に行うことに決定します。"
        told = (await client.call_tool("minutes", {"transcript": transcript, "words": False})).structured_content
        assert told is not None and told["made"]["decisions"][0]["lines"] == [1]
        refused = await client.call_tool("ledger_verify", {})
        assert refused.is_error and "I02" in refused.content[0].text  # type: ignore[union-attr]

    session(server, "user", story)


def test_each_key_is_its_owner(server: Server) -> None:
    async def story(client: ClientSession) -> None:
        told = (await client.call_tool("ledger_verify", {})).structured_content
        assert told is not None and told["ok"] is True

    session(server, "admin", story)


def test_strangers_and_other_hosts_and_pages_are_kept_out(server: Server) -> None:
    assert post(server).status_code == 200
    assert post(server, Authorization="Bearer so8t_wrong").status_code == 401
    assert httpx.post(f"{server.address}/mcp", json=INITIALIZE, headers=ACCEPT, trust_env=False).status_code == 401
    assert post(server, Host="attacker.example").status_code == 421
    assert post(server, Origin="http://attacker.example").status_code == 403
    assert post(server, Origin=server.address).status_code == 200
    for method in ("GET", "DELETE"):
        answer = httpx.request(method, f"{server.address}/mcp", headers=server.headers() | ACCEPT, trust_env=False)
        assert answer.status_code == 405
    large = httpx.post(
        f"{server.address}/mcp", content=b"x" * (5 << 20), trust_env=False,
        headers={**server.headers(), **ACCEPT, "Content-Type": "application/json"},
    )  # fmt: skip
    assert large.status_code == 413


@pytest.mark.parametrize("body", [[], 3, {"jsonrpc": "2.0"}, {"jsonrpc": "1.0", "id": 1, "method": "tools/list"}])
def test_what_is_no_message_is_refused(server: Server, body: Any) -> None:
    assert 400 <= post(server, body).status_code < 500


def test_a_call_takes_one_place_and_no_more(server: Server) -> None:
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "ask", "arguments": {"query": "議事録をまとめて。"}}}  # fmt: skip

    async def many() -> list[int]:
        async with httpx.AsyncClient(headers=server.headers() | ACCEPT, trust_env=False, timeout=60) as http:
            answers = await asyncio.gather(*(http.post(f"{server.address}/mcp", json=call) for _ in range(32)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(many()) == [200] * 32


def test_the_words_of_an_unforeseen_error_stay_inside(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("秘密の場所 /srv/so8t/key")

    monkeypatch.setattr(type(server.gateway), "ask", broken)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "ask", "arguments": {"query": "議事録をまとめて。"}}}  # fmt: skip
    answer = post(server, call)
    assert "srv" not in answer.text and "RuntimeError" not in answer.text and "[E00]" in answer.text
