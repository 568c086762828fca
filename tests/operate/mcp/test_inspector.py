"""The MCP Inspector's command line against both ways in. It comes from npm (@modelcontextprotocol/inspector, Node 22),
so this runs only where SO8T_MCP_INSPECTOR names the program: SO8T_MCP_INSPECTOR=.../mcp-inspector pytest -m slow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from office_server import ANSWER, SCORES, Server, running

from so8t.ask.backend import FakeBackend
from so8t.operate.mcp.tools import TOOLS

INSPECTOR = os.environ.get("SO8T_MCP_INSPECTOR", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not INSPECTOR, reason="SO8T_MCP_INSPECTOR does not name the MCP Inspector"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as started:
        yield started


def inspected(*arguments: str) -> tuple[int, Any]:
    done = subprocess.run([INSPECTOR, "--cli", *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)


def over_http(server: Server, *arguments: str) -> tuple[int, Any]:
    key = f"Authorization: Bearer {server.keys['user']}"
    return inspected("--server-url", f"{server.address}/mcp", "--transport", "http", "--header", key, *arguments)


def over_stdio(server: Server, *arguments: str) -> tuple[int, Any]:
    key, command = f"SO8T_KEY={server.keys['user']}", [sys.executable, "-m", "so8t", "mcp", "--address"]
    return inspected("-e", key, *command, server.address, *arguments)


@pytest.mark.parametrize("way", [over_http, over_stdio])
def test_the_inspector_sees_the_tools_and_calls_them(server: Server, way: Any) -> None:
    code, listed = way(server, "--method", "tools/list")
    assert code == 0 and [tool["name"] for tool in listed["tools"]] == [tool.name for tool in TOOLS]
    assert [tool["inputSchema"] for tool in listed["tools"]] == [tool.schema for tool in TOOLS]
    call = ("--method", "tools/call", "--tool-name")
    code, told = way(server, *call, "ask", "--tool-arg", "query=議事録をまとめて。")
    assert code == 0 and told["structuredContent"]["answer"] == ANSWER
    code, told = way(server, *call, "ledger_verify")
    assert code != 0 and told["isError"] and "403" in told["content"][0]["text"]
