"""The official SDK's client starts `so8t mcp` as a process of its own and works in a running office through it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from office_files import OfficeFiles
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend
from so8t.cli import main
from so8t.commands.mcp import own_key
from so8t.core.errors import ConfigValueInvalid, OfficeDown, UsageError
from so8t.core.serve_config import SearchConfig
from so8t.operate.mcp.office_client import OfficeClient
from so8t.operate.mcp.tools import TOOLS, digest

PINNED = "6313dc390a4ed2565663cb12ef457ff1015db78de65a414fb7ee43e920a360d5"
Told = tuple[bool, Any]  # whether it is an error, and what was told
Call = Callable[..., Awaitable[Told]]


@pytest.fixture
def server(tmp_path: Path, office: OfficeFiles) -> Iterator[Server]:
    office.write("社内限定/旅費.txt", "出張の旅費は七日以内に精算します。")
    office.write("極秘/計画.txt", "旅費の削減の計画です。")
    office.update()
    folders = SearchConfig(index=str(office.store.path), folders=office.config.folders)
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER), folders) as started:
        yield started


def session(server: Server, who: str, story: Callable[[ClientSession, Call], Awaitable[None]], **more: str) -> None:
    """Runs `story` with a client of the official SDK, whose server is our command."""

    async def go() -> None:
        environment = {**os.environ, "SO8T_KEY": server.keys[who], "NO_PROXY": "*", **more}
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "so8t", "mcp", "--address", server.address], env=environment
        )
        async with AsyncExitStack() as stack:
            read, write = await stack.enter_async_context(stdio_client(command))
            client = await stack.enter_async_context(ClientSession(read, write))
            await client.initialize()

            async def call(tool: str, **arguments: Any) -> Told:
                made = await client.call_tool(tool, arguments)
                text = made.content[0].text  # type: ignore[union-attr]
                if made.is_error:
                    return True, text
                assert json.loads(text) == made.structured_content
                return False, made.structured_content

            await story(client, call)

    asyncio.run(asyncio.wait_for(go(), 60))


def test_the_tools_are_those_that_are_pinned(server: Server) -> None:
    async def story(client: ClientSession, _: Call) -> None:
        listed = (await client.list_tools()).tools
        names = ["ask", "search", "answer", "minutes", "mail_draft", "decision_status", "ledger_verify"]
        assert [t.name for t in listed] == names
        for shown, ours in zip(listed, TOOLS, strict=True):
            assert shown.input_schema == ours.schema and shown.description == ours.description
            Draft202012Validator.check_schema(shown.input_schema)
            assert shown.annotations is not None and shown.annotations.read_only_hint is ours.reads_only

    session(server, "user", story)
    assert digest() == PINNED, "a tool has changed: clients must approve it again; pin the new digest on purpose"


def test_a_users_day(server: Server) -> None:
    async def story(_: ClientSession, call: Call) -> None:
        failed, told = await call("ask", query="会議の議事録を三行にまとめて。")
        assert not failed and told["decision"] == "ALLOW" and told["answer"] == ANSWER
        entry = server.reader.entries(kinds=("decision",))[-1]
        assert entry.actor == "user" and told["ledger"]["seq"] == entry.seq
        _, told = await call("search", query="旅費")
        assert [hit["place"] for hit in told["hits"]] == ["旅費.txt"] and told["total"] == 1
        _, told = await call("answer", query="旅費 精算")
        assert told["documents"][0]["place"] == "旅費.txt" and told["classification"] == "社内限定"
        _, told = await call("ask", query="人に聞くべき契約の件です。")
        assert told["decision"] == "ESCALATE"
        seq = told["ledger"]["seq"]
        _, told = await call("decision_status", seq=seq)
        assert told["status"] == "pending" and told["answer"] is None
        _, told = await call("decision_status")
        assert [one["seq"] for one in told["requests"]] == [seq]
        _, told = await call("ask", query="禁じるべきことをして。", classification="公開")
        assert told["decision"] == "DENY"

    session(server, "user", story)


def test_what_is_wrong_is_said_and_nothing_is_sent(server: Server) -> None:
    async def story(_: ClientSession, call: Call) -> None:
        before = server.reader.entries()[-1].seq
        for tool, arguments in (
            ("ask", {}), ("ask", {"query": 3}), ("ask", {"query": ""}), ("ask", {"query": "x", "clearance": "極秘"}),
            ("search", {"query": "x", "limit": 99}), ("search", {"query": "x" * 1001}), ("nothing", {}),
            ("decision_status", {"seq": "1/../../metrics"}), ("decision_status", {"seq": 0}),
        ):  # fmt: skip
            failed, told = await call(tool, **arguments)
            assert failed and told and len(told) < 500
        assert server.reader.entries()[-1].seq == before
        failed, told = await call("search", query="x", folders=["ない"])
        assert failed and "[D04]" in told  # the server's own refusal

    session(server, "user", story)


def test_roles_and_keys_are_the_servers(server: Server) -> None:
    async def user(_: ClientSession, call: Call) -> None:
        failed, told = await call("ledger_verify")
        assert failed and "I02" in told

    async def auditor(_: ClientSession, call: Call) -> None:
        failed, told = await call("ledger_verify")
        assert not failed and told["ok"] is True and told["signed"] is True and told["entries"] > 1

    async def stranger(_: ClientSession, call: Call) -> None:
        failed, told = await call("ask", query="議事録をまとめて。")
        assert failed and "I01" in told and "wrong" not in told

    session(server, "user", user)
    session(server, "auditor", auditor)
    session(server, "user", stranger, SO8T_KEY="so8t_wrong")


def test_a_server_that_is_gone(server: Server) -> None:
    async def story(_: ClientSession, call: Call) -> None:
        gone = OfficeClient.at("http://127.0.0.1:9", "k")
        with pytest.raises(OfficeDown):
            await gone.call("ask", {"query": "x"})
        await gone.close()
        assert (await call("search", query="旅費"))[0] is False

    session(server, "user", story)


@pytest.mark.parametrize("address", ["http://localhost:1", "http://so8t.example", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_only_a_literal_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SO8T_KEY", "k")
    with pytest.raises(OfficeDown):
        OfficeClient.at(address, "k")
    assert main(["mcp", "--address", address]) == 10


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SO8T_KEY", " from-environment\n")
    assert own_key(None) == "from-environment"
    path = tmp_path / "key.txt"
    path.write_text("from-file\n")
    assert own_key(path) == "from-file"
    with pytest.raises(ConfigValueInvalid):
        own_key(tmp_path / "none")
    monkeypatch.delenv("SO8T_KEY")
    with pytest.raises(UsageError):
        own_key(None)
