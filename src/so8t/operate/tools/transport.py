"""How a tool server is reached: as a child process over stdio, or over HTTP on this machine. All of it is bounded.

The official SDK speaks the protocol; what it reads comes through here, because its own stdio transport has no limit on
what a server may say and hands on part of our environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import mcp_types as types
import psutil
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import ToolServer

MAXIMUM_BYTES = 1 << 20  # of all that a server says in one call
GRACE_SECONDS = 1.0  # to end by itself once its input is closed
# Never inherited: fixed. Windows starts nothing without the second.
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
WINDOWS = ("SYSTEMROOT",)
Streams = tuple[Any, Any]


@dataclass(slots=True)
class Budget:
    """What a server may still say. `problem`: why it was cut off, or ""."""

    left: int = MAXIMUM_BYTES
    problem: str = ""

    def take(self, count: int) -> bool:
        self.left -= count
        if self.left < 0:
            self.problem = self.problem or f"more than {MAXIMUM_BYTES} bytes"
        return self.left >= 0


def check_server(server: ToolServer, number: int) -> None:
    """Raises ConfigValueInvalid for what would reach beyond this machine, or start anything but one named program."""
    where = f"serve.tools[{number}]"
    if not server.name or not all(c.isascii() and (c.isalnum() or c in "_.-") for c in server.name):
        raise ConfigValueInvalid(where=where, detail=f"name = {server.name!r} (letters, digits, _ . -)")
    if bool(server.command) == bool(server.url):
        raise ConfigValueInvalid(where=where, detail="either command or url")
    if server.command and not os.path.isabs(server.command[0]):
        raise ConfigValueInvalid(where=where, detail=f"command = {server.command[0]!r}: an absolute path")
    if server.url and not _is_local(server.url):
        raise ConfigValueInvalid(where=where, detail=f"url = {server.url!r}: http://127.0.0.1:PORT/...")
    if not 0 < server.seconds <= 600:
        raise ConfigValueInvalid(where=where, detail=f"seconds = {server.seconds:g} (0 < x ≤ 600)")


def _is_local(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.port is not None and not (parts.username or parts.query)
        return plain and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def reached(server: ToolServer, budget: Budget) -> AsyncIterator[Streams]:
    """The streams that a ClientSession takes. When the block ends nothing of the server that we started is left."""
    async with _over_http(server, budget) if server.url else _over_stdio(server, budget) as streams:
        yield streams


@asynccontextmanager
async def _over_stdio(server: ToolServer, budget: Budget) -> AsyncIterator[Streams]:
    with tempfile.TemporaryDirectory(prefix="so8t-tool-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            *server.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=environment_of(server), limit=MAXIMUM_BYTES, **_apart(),
        )  # fmt: skip
        pipes = _Pipes(process, budget)
        graceful = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pipes.read)
                tasks.start_soon(pipes.write)
                try:
                    yield pipes.incoming_reader, pipes.outgoing
                    graceful = not budget.problem
                finally:
                    pipes.close()
                    with anyio.CancelScope(shield=True):
                        await _ended(process, GRACE_SECONDS if graceful else 0.0)
                    tasks.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                with anyio.CancelScope(shield=True):
                    await _ended(process, 0.0)


def _apart() -> dict[str, Any]:
    """A session of its own, so that all of it can be ended at once; on Windows no window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def environment_of(server: ToolServer) -> dict[str, str]:
    """Fixed values, and of ours only what the configuration names."""
    named = (*server.environment, *(WINDOWS if sys.platform == "win32" else ()))
    return ENVIRONMENT | {name: os.environ[name] for name in named if name in os.environ}


@dataclass(slots=True)
class _Pipes:
    """One JSON-RPC message a line, both ways. What is no message, or too much, ends the reading."""

    process: asyncio.subprocess.Process
    budget: Budget
    incoming: Any = field(init=False)
    incoming_reader: Any = field(init=False)
    outgoing: Any = field(init=False)
    outgoing_reader: Any = field(init=False)

    def __post_init__(self) -> None:
        self.incoming, self.incoming_reader = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self.outgoing, self.outgoing_reader = anyio.create_memory_object_stream[SessionMessage](0)

    async def read(self) -> None:
        out = self.process.stdout
        assert out is not None
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
            async with self.incoming:
                while (message := await self._message(out)) is not None:
                    await self.incoming.send(message)

    async def _message(self, out: asyncio.StreamReader) -> SessionMessage | None:
        """The next one, or None at the end, of what the server says or of our patience."""
        try:
            line = await out.readuntil(b"\n")
            if self.budget.take(len(line)):
                return SessionMessage(types.jsonrpc_message_adapter.validate_json(line))
        except asyncio.IncompleteReadError:
            self.budget.problem = self.budget.problem or "it ended"
        except asyncio.LimitOverrunError:
            self.budget.take(MAXIMUM_BYTES + 1)
        except ValueError:
            self.budget.problem = "not JSON-RPC"
        return None

    async def write(self) -> None:
        into = self.process.stdin
        assert into is not None
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            async with self.outgoing_reader:
                async for message in self.outgoing_reader:
                    into.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                    await into.drain()

    def close(self) -> None:
        for stream in (self.incoming_reader, self.outgoing, self.incoming, self.outgoing_reader):
            stream.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


async def _ended(process: asyncio.subprocess.Process, grace: float) -> None:
    """The server and all that it started are gone: by themselves within the grace, else killed."""
    family = _family(process.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await process.wait()
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the group of the first process is its number
    for one in [*family, *_family(process.pid)]:
        with contextlib.suppress(psutil.Error):
            one.kill()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
    transport = getattr(process, "_transport", None)  # a survivor that holds the pipe must not keep ours open
    if transport is not None:
        transport.close()


def _family(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


@asynccontextmanager
async def _over_http(server: ToolServer, budget: Budget) -> AsyncIterator[Streams]:
    client = httpx2.AsyncClient(
        transport=_Bounded(httpx2.AsyncHTTPTransport(), budget), trust_env=False, follow_redirects=False,
        timeout=server.seconds, headers={"accept-encoding": "identity"},
    )  # fmt: skip
    async with client, streamable_http_client(
        server.url, http_client=client, max_sse_event_size=MAXIMUM_BYTES
    ) as streams:  # fmt: skip
        yield streams


class _Bounded(httpx2.AsyncBaseTransport):
    """Answers beyond the budget, compressed ones (a small one may unfold without end) and redirects are cut off."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, budget: Budget) -> None:
        self._inner, self._budget = inner, budget

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity" or response.is_redirect:
            self._budget.problem = "compressed or redirected"
            await response.aclose()
            raise httpx2.RemoteProtocolError(self._budget.problem, request=request)
        response.stream = _Counted(response.stream, self._budget, request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, budget: Budget, request: httpx2.Request) -> None:
        self._inner, self._budget, self._request = inner, budget, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            if not self._budget.take(len(piece)):
                raise httpx2.ReadError(self._budget.problem, request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
