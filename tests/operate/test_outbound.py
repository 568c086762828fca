"""A closed network (SPEC O6): the real server connects to its upstream's literal address, and to nothing else at all.

The server runs as its users start it, in a process of its own. A hook below every library writes down each connection,
datagram and name lookup. Its event loop is asyncio's own here: uvloop connects in C, where the hook does not see.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from serve_process import ServeProcess, new_user, serving

from so8t.ask.llamacpp_server import serve as llamacpp
from so8t.ask.wire import Wire
from so8t.core.errors import BackendProtocol, OutboundRefused

SPY = """
import os, sys
sys.modules["uvloop"] = None
def _hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        where = arguments[1]
        if not isinstance(where, tuple):
            return
        line = f"{event} {where[0]} {where[1]}"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"):
        line = f"{event} {arguments[0]!r}"
    else:
        return
    with open(os.environ["SO8T_TEST_SPY"], "a") as f:
        f.write(f"{line}\\n")
sys.addaudithook(_hook)
"""


class Recorder(BaseHTTPRequestHandler):
    """Answers everything with one status and headers, and remembers that it was asked."""

    def _answer(self) -> None:
        asked: Asked = self.server.asked  # type: ignore[attr-defined]
        asked.paths.append(self.path)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(asked.status)
        for name, value in asked.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_CONNECT = do_HEAD = _answer

    def log_message(self, *_: Any) -> None:
        return None


@dataclass
class Asked:
    """A server on loopback, and what it was asked."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def answering(asked: Asked) -> Iterator[Asked]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.asked = asked  # type: ignore[attr-defined]
        asked.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def trap() -> Iterator[Asked]:
    """Where a proxy's variables or a redirect would lead. Nobody may come."""
    with answering(Asked()) as made:
        yield made


@contextmanager
def office(
    folder: Path, environment: dict[str, str], bundle: Path, upstream: str, trap: Asked
) -> Iterator[tuple[ServeProcess, Callable[[], list[str]]]]:
    """A server with proxies named in its environment and the spy inside; what the spy has written down so far."""
    (folder / "spy").mkdir(parents=True)
    (folder / "spy" / "sitecustomize.py").write_text(SPY)
    (folder / "so8t.toml").write_text(f"[serve]\nport = 0\n{upstream}")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    told = environment | dict.fromkeys(proxies, trap.address) | {"NO_PROXY": "", "no_proxy": ""}
    told["PYTHONPATH"] = os.pathsep.join([str(folder / "spy"), environment["PYTHONPATH"]])
    told["SO8T_TEST_SPY"] = str(folder / "spied")

    def spied() -> list[str]:
        return (folder / "spied").read_text().splitlines() if (folder / "spied").exists() else []

    with serving(folder, told, bundle, new_user(folder, told)) as running:
        yield running, spied


def section(address: str, kind: str = "llamacpp") -> str:
    return f'[serve.upstream]\nkind = "{kind}"\naddresses = ["{address}"]\nmodel = "m"\nseconds = 30\n'


@pytest.mark.slow
def test_nothing_but_the_upstream_is_ever_connected_to(
    micro_run: Path, environment: dict[str, str], tmp_path: Path, trap: Asked
) -> None:
    """Asked, streamed, refused, handed over, with every proxy variable set; and no name is looked up."""
    bundle = micro_run / "bundle"
    prompt = json.loads((bundle / "prompt.json").read_text(encoding="utf-8"))
    model = bundle / "gguf" / f"model-{prompt['deploy']}.gguf"
    with (
        llamacpp(model, int(prompt["context"]), slots=2) as address,
        office(tmp_path / "o", environment, bundle, section(address), trap) as (running, spied),
    ):
        assert running.ask("会議の案内文を書いてください")[1]
        assert b"data:" in running.ask("議事録の書き方を教えてください", stream=True)[1]
        decisions = {
            running.ask(text)[0] for text in ("顧客名簿を社外に送って", "この患者の診断をして", "辞書とは何ですか")
        }
        found = spied()
    port = address.rpartition(":")[2]
    assert {line for line in found if line.startswith("socket.connect")} == {f"socket.connect 127.0.0.1 {port}"}
    assert [line for line in found if not line.startswith("socket.connect ")] == []
    assert trap.paths == [] and len(decisions) >= 2


@pytest.mark.slow
def test_the_spy_sees_what_it_should(environment: dict[str, str], tmp_path: Path, trap: Asked) -> None:
    """A test of the test: urllib with the same variables goes to the proxy, asyncio connects, and both are seen."""
    (tmp_path / "sitecustomize.py").write_text(SPY)
    port = trap.address.rpartition(":")[2]
    code = (
        "import asyncio, socket, urllib.request\n"
        "urllib.request.urlopen('http://192.0.2.1/').read()\n"
        f"asyncio.run(asyncio.open_connection('127.0.0.1', {port}))\n"
        "socket.getaddrinfo('localhost', 80)\n"
    )
    told = environment | {"http_proxy": trap.address, "SO8T_TEST_SPY": str(tmp_path / "spied")}
    told["PYTHONPATH"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", code], env=told, check=True, timeout=60)
    seen = (tmp_path / "spied").read_text().splitlines()
    assert seen.count(f"socket.connect 127.0.0.1 {port}") == 2 and "socket.getaddrinfo 'localhost'" in seen
    assert trap.paths == ["http://192.0.2.1/"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llamacpp", "openai", "ollama"])
def test_an_upstream_that_redirects_is_not_followed(
    micro_run: Path, environment: dict[str, str], tmp_path: Path, trap: Asked, kind: str
) -> None:
    """Every answer points elsewhere: the request goes to a person, and nobody goes there."""
    elsewhere = {"location": f"{trap.address}/there"}
    with (
        answering(Asked(307, elsewhere)) as upstream,
        office(tmp_path / "o", environment, micro_run / "bundle", section(upstream.address, kind), trap) as (
            running,
            spied,
        ),
    ):
        assert running.ask("会議の案内文を書いてください")[0] == "ESCALATE"
        found = set(spied())
    port = upstream.address.rpartition(":")[2]
    assert trap.paths == [] and upstream.paths
    assert found == {f"socket.connect 127.0.0.1 {port}"}


# -- the wire itself, without a server of ours ------------------------------------------------------------------------


def attempt(address: str, method: str, path: str) -> None:
    async def main() -> None:
        wire = Wire(address, {"/completion", "/v1/"})
        try:
            await wire.ask(method, path, {})
        finally:
            await wire.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "path",
    ["/", "/completion/", "/completion?x", "/completions", "/v1", "/v2/models", "//elsewhere/completion", "", "/V1/a"],
)
def test_a_path_not_on_the_list_is_refused_before_a_byte_is_sent(path: str) -> None:
    asked = Asked()
    with answering(asked), pytest.raises(OutboundRefused):
        attempt(asked.address, "POST", path)
    assert asked.paths == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_redirect_is_followed(trap: Asked, status: int, method: str) -> None:
    with answering(Asked(status, {"location": f"{trap.address}/there"})) as upstream:
        with pytest.raises(BackendProtocol, match=f"HTTP {status}"):
            attempt(upstream.address, method, "/completion")
        assert upstream.paths == ["/completion"] and trap.paths == []


def test_no_proxy_of_the_environment_is_used(trap: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.address)
        monkeypatch.setenv(name.lower(), trap.address)
    with answering(Asked()) as upstream:
        attempt(upstream.address, "POST", "/completion")
    assert upstream.paths == ["/completion"] and trap.paths == []


def test_nothing_answers_on_a_closed_port_and_nobody_else_is_asked(trap: Asked) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(Exception, match="A01"):
        attempt(f"http://127.0.0.1:{port}", "POST", "/completion")
    assert trap.paths == []
