"""Visits to real tool servers: what they say is bounded in time and size, and nothing of them is left."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tool_server
import uvicorn
from agent_files import little
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from tool_server import PLAN, SCHEMA, TEXT

from so8t.core.errors import ConfigValueInvalid, ToolFailed
from so8t.core.serve_config import ToolServer
from so8t.operate.tools.client import Told, visited
from so8t.operate.tools.transport import ENVIRONMENT, check_server, environment_of


def call(server: ToolServer, **arguments: Any) -> Told:
    async def go() -> Told:
        async with visited(server) as visit:
            await visit.descriptions()
            return await visit.call("day", arguments or {"day": "2026-11-26"})

    return asyncio.run(go())


def family() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_visit_lists_the_allowed_tools_and_calls_one(program: Path) -> None:
    async def go() -> None:
        async with visited(little(program)) as visit:
            found = await visit.descriptions()
            assert list(found) == ["day"] and found["day"].text == TEXT and found["day"].schema == SCHEMA
            found["day"].check()
            told = await visit.call("day", {"day": "2026-11-26"})
            assert told == Told(f"2026-11-26: {PLAN}", failed=False, cut=False)

    before = family()
    asyncio.run(go())
    assert family() == before


def test_it_inherits_nothing_but_what_is_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SO8T_TEST_SECRET", "合言葉は山")
    told = call(little(program, "secret"))
    assert "見えない" in told.text and "合言葉" not in told.text
    for name in ("HOME", "USER", "SO8T_KEY", "SO8T_TEST_SECRET"):
        assert f'"{name}"' not in told.text
    assert "合言葉は山" in call(little(program, "secret", environment=("SO8T_TEST_SECRET",))).text
    assert environment_of(little(program)).items() >= ENVIRONMENT.items()


@pytest.mark.parametrize(
    ("mode", "seconds", "said"),
    [("huge", 30.0, "bytes"), ("hang", 3.0, "> 3 s"), ("dies", 20.0, "ended")],
)
def test_what_it_does_wrong_is_a_failure_and_ends_it(program: Path, mode: str, seconds: float, said: str) -> None:
    before, began, memory = family(), time.monotonic(), psutil.Process().memory_info().rss
    with pytest.raises(ToolFailed) as error:
        call(little(program, mode, seconds=seconds))
    assert said in error.value.detail, error.value.detail
    assert time.monotonic() - began < seconds + 8 and family() == before
    assert psutil.Process().memory_info().rss - memory < 40 << 20  # of the 150 MB that "huge" would be


def test_its_children_die_with_it(program: Path) -> None:
    with pytest.raises(ToolFailed):
        call(little(program, "child", seconds=3.0))
    child = int(program.with_name("child.pid").read_text(encoding="ascii"))
    for _ in range(50):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a child of the tool server lives on")


def test_what_is_no_server_at_all(tmp_path: Path) -> None:
    commands = {
        ("/nonexistent/program",): "FileNotFoundError",
        ("/bin/true",): "ended",
        ("/bin/echo", "hi"): "JSON-RPC",
    }
    for command, said in commands.items():
        with pytest.raises(ToolFailed) as error:
            call(ToolServer("x", command, tools=("day",), seconds=10.0))
        assert said in error.value.detail


def test_leaving_in_the_middle_leaves_nothing(program: Path) -> None:
    async def go() -> None:
        task = asyncio.create_task(_called(little(program, "hang")))
        await asyncio.sleep(2.5)
        assert family() - before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = family()
    asyncio.run(go())
    assert family() == before


async def _called(server: ToolServer) -> Told:
    async with visited(server) as visit:
        return await visit.call("day", {"day": "2026-11-26"})


def test_over_http_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own streamable HTTP server in front of the same tools."""
    monkeypatch.setattr(tool_server, "MODE", "quiet")  # it notes nothing beside the sources

    async def go() -> None:
        server: Server[Any] = Server(
            "little", version="1", on_list_tools=tool_server.list_tools, on_call_tool=tool_server.call_tool
        )
        manager = StreamableHTTPSessionManager(app=server, stateless=True)
        async with manager.run(), listening(Mount("/mcp", app=manager.handle_request)) as port:
            tools = ToolServer("plan", url=f"http://127.0.0.1:{port}/mcp/", tools=("day",), seconds=20.0)
            check_server(tools, 1)
            async with visited(tools) as visit:
                assert list(await visit.descriptions()) == ["day"]
                assert PLAN in (await visit.call("day", {"day": "2026-11-26"})).text

    asyncio.run(go())


@asynccontextmanager
async def listening(*routes: BaseRoute) -> AsyncIterator[int]:
    """A server on loopback, and its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        served = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="error", ws="none"))
        task = asyncio.create_task(served._serve([listener]))
        while not served.started:
            await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            served.should_exit = True
            await task


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(b"[" + b"1," * (5 << 20) + b"1]", media_type="application/json"), "bytes"),
        (Response(gzip.compress(b" " * (50 << 20)), headers={"content-encoding": "gzip"}), "compressed"),
        (Response(status_code=307, headers={"location": "http://192.0.2.1/mcp"}), "redirected"),
        (Response(b"no JSON", media_type="application/json"), ""), (Response(status_code=500), ""),
    ],
)  # fmt: skip
def test_bad_answers_over_http(answer: Response, said: str) -> None:
    async def told(_: Request) -> Response:
        return answer

    async def go() -> None:
        async with listening(Route("/mcp", told, methods=["POST", "GET", "DELETE"])) as port:
            with pytest.raises(ToolFailed) as error:
                async with visited(ToolServer("x", url=f"http://127.0.0.1:{port}/mcp", tools=("day",), seconds=10.0)):
                    pass
            assert said in error.value.detail

    asyncio.run(go())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a b"}, {"name": "あ"}, {"command": ()}, {"command": ("python3",)}, {"seconds": 0.0},
        {"seconds": 601.0}, {"url": "http://127.0.0.1:1/x"}, {"command": (), "url": "http://localhost:1/x"},
        {"command": (), "url": "http://192.0.2.1:1/x"}, {"command": (), "url": "https://127.0.0.1:1/x"},
        {"command": (), "url": "http://127.0.0.1/x"}, {"command": (), "url": "http://u:p@127.0.0.1:1/x"},
        {"command": (), "url": "http://127.0.0.1.example:1/x"},
    ],
)  # fmt: skip
def test_only_a_named_program_or_this_machine(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigValueInvalid):
        check_server(little(tmp_path, **wrong), 1)
    check_server(little(tmp_path), 1)
    assert os.path.isabs(little(tmp_path).command[0])
