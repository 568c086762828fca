"""What strangers send: too much, too slowly, too deep, in bad bytes, under another name, with guessed keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from office_server import ANSWER, Server, closed_ledger

from so8t.operate.server import body, guard, protocol

CHAT = {"model": "so8t", "messages": [{"role": "user", "content": "会議の議事録を三行にまとめてください。"}]}


def post(server: Server, content: bytes | str, headers: dict[str, str] | None = None, path: str = "") -> httpx.Response:
    told = {"content-type": "application/json", **server.headers(), **(headers or {})}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(server.address + (path or "/v1/chat/completions"), content=content, headers=told)


def raw(server: Server, request: bytes, seconds: float = 10.0) -> bytes:
    """Whatever comes back to these bytes until the server closes."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as s:
        s.sendall(request)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := s.recv(65536):
                received += piece
        return received


def still_well(server: Server) -> None:
    assert post(server, json.dumps(CHAT)).json()["choices"][0]["message"]["content"] == ANSWER


BAD_BODIES = {
    "empty": (b"", 400), "half": (b'{"model": "so8t", "mess', 400), "a list": (b"[]", 400), "null": (b"null", 400),
    "bad utf-8": (b'{"model": "\xff\xfe"}', 400), "lone surrogate": (b'{"model": "\\ud800"}', 400),
    "nan": (b'{"temperature": NaN}', 400), "deep": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "no messages": (b'{"model": "so8t"}', 400), "no model": (b"{}", 404),
    "messages of the wrong kind": (b'{"model": "so8t", "messages": {"role": "user"}}', 400),
    "role of the wrong kind": (b'{"model": "so8t", "messages": [{"role": ["user"], "content": "x"}]}', 400),
    "an image": (
        b'{"model": "so8t", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}', 400,
    ),
    "the assistant last": (b'{"model": "so8t", "messages": [{"role": "assistant", "content": "x"}]}', 400),
    "a huge number": (b'{"model": "so8t", "messages": [{"role":"user","content":"x"}], "max_tokens": 1e999}', 400),
    "a negative number": (b'{"model": "so8t", "messages": [{"role":"user","content":"x"}], "max_tokens": -5}', 400),
    "hot": (b'{"model": "so8t", "messages": [{"role":"user","content":"x"}], "temperature": 99}', 400),
    "a domain of one's own": (
        b'{"model": "so8t", "messages": [{"role":"user","content":"x"}], "so8t": {"domain": "general"}}', 400,
    ),
    "a clearance of one's own": (
        '{"model": "so8t", "messages": [{"role":"user","content":"x"}], "so8t": {"clearance": "極秘"}}'.encode(), 400,
    ),
    "a misspelt classification": (
        '{"model": "so8t", "messages": [{"role":"user","content":"x"}], "so8t": {"class": "極秘"}}'.encode(), 400,
    ),
    "a list for so8t": (b'{"model": "so8t", "messages": [{"role":"user","content":"x"}], "so8t": []}', 400),
    "nothing said": (b'{"model": "so8t", "messages": [{"role": "user", "content": ""}]}', 400),
    "white space said": ('{"model": "so8t", "messages": [{"role": "user", "content": " \n　"}]}'.encode(), 400),
    "an unknown level": (
        '{"model": "so8t", "messages": [{"role":"user","content":"x"}], "so8t": {"classification": "最高"}}'.encode(),
        400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies_are_told_apart_and_harm_nobody(server: Server, name: str) -> None:
    content, status = BAD_BODIES[name]
    answer = post(server, content)
    assert answer.status_code == status and answer.json()["error"]["code"]
    assert "Traceback" not in answer.text
    still_well(server)


def test_a_body_of_a_hundred_megabytes_is_not_read(server: Server) -> None:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.keys['user']}\r\n"
        "Connection: close\r\nContent-Length: 104857600\r\n\r\n"
    )
    assert b" 413 " in raw(server, head.encode() + b"x" * 1000)
    still_well(server)


def test_a_chunked_body_without_end_is_cut(server: Server) -> None:
    def endless() -> Any:
        for _ in range(10_000):
            yield b"x" * 65536

    with httpx.Client(trust_env=False) as client, contextlib.suppress(httpx.WriteError, httpx.ReadError):
        answer = client.post(f"{server.address}/v1/chat/completions", content=endless(), headers=server.headers())
        assert answer.status_code == 413
    still_well(server)


def test_slowloris(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    begin = time.monotonic()
    assert b" 408 " in raw(server, b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    assert b" 408 " in raw(server, b"")  # not even a first byte
    assert time.monotonic() - begin < 8
    still_well(server)


def test_a_body_that_trickles(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.3)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.keys['user']}\r\n"
        "Connection: close\r\nContent-Length: 1000\r\n\r\n{"
    )
    assert b" 408 " in raw(server, head.encode())


@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"a" * 100_000,
        b"\r\n".join(b"X-%d: a" % n for n in range(20_000)),
        b"X-Endless: " + b"a" * 400_000,
    ],
    ids=["one long field", "many fields", "a field without end"],
)
def test_heads_are_bounded(server: Server, head: bytes) -> None:
    end = b"" if head.startswith(b"X-Endless") else b"\r\n\r\n"
    answer = raw(server, b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + end)
    assert answer == b"" or b" 431 " in answer or b" 400 " in answer
    assert b"200 OK" not in answer
    still_well(server)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::ffff:1]", "", "127.0.0.1@evil"]
)
def test_another_host_is_refused(server: Server, host: str) -> None:
    """DNS rebinding: a page elsewhere may lead a browser here, but under its own name."""
    request = f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.keys['user']}\r\n"
    answer = raw(server, (request + "Connection: close\r\n\r\n").encode())
    assert b" 421 " in answer or b" 400 " in answer


def test_two_hosts_or_none_are_refused(server: Server) -> None:
    for hosts in (b"Host: 127.0.0.1\r\nHost: evil.example\r\n", b""):
        answer = raw(server, b"GET /v1/models HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
        assert b" 421 " in answer or b" 400 " in answer


PATHS = ("/v1/models", "/v1/chat/completions", "/api/tags", "/api/chat", "/metrics", "/readyz")


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_anonymous(server: Server, path: str) -> None:
    method = "POST" if "chat" in path else "GET"
    with httpx.Client(trust_env=False) as client:
        answer = client.request(method, server.address + path, json={})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert server.backend.prompts == []


def test_guessing_keys_is_slowed_down(server: Server) -> None:
    still_well(server)
    guesses = [{"Authorization": f"Bearer so8t_{n:016x}_{'a' * 43}"} for n in range(60)]
    statuses = [post(server, b"{}", guess).status_code for guess in guesses]
    assert statuses[0] == 401 and statuses[-1] == 429
    still_well(server)  # a key that was good before goes on working from the same address


def test_answers_carry_the_headers_that_browsers_need(server: Server) -> None:
    answer = post(server, json.dumps(CHAT))
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_what_is_not_there(server: Server) -> None:
    with httpx.Client(trust_env=False, headers=server.headers()) as client:
        assert client.get(f"{server.address}/v1/nothing").status_code == 404
        assert client.get(f"{server.address}/v1/chat/completions").status_code == 405
        assert client.get(f"{server.address}/healthz").text == "ok\n"


def test_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One place: a second request waits for it, one that waits too long, or would be one too many to wait, goes."""
    monkeypatch.setattr(guard, "WAIT_SECONDS", 0.3)

    async def story() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            inside.set()
            await leave.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        guarded = guard.Guard(app, ["a"], 1)

        async def ask() -> int:
            found: list[int] = []

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    found.append(message["status"])

            scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": [(b"host", b"a")]}
            await guarded(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
            return found[0]

        first = asyncio.create_task(ask())
        await inside.wait()
        late = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        assert await ask() == 503  # one waits already
        assert await late == 503  # nobody left in time
        second = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        leave.set()
        assert (await first, await second) == (200, 200)

    asyncio.run(story())


def test_one_name_cannot_hold_every_place(server: Server) -> None:
    """64 places, so 32 for one name: bodies that never end keep them."""
    host, port = server.address.removeprefix("http://").split(":")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.keys['user']}\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            held = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            held.sendall(head.encode())
        end = time.monotonic() + 10
        while (answer := post(server, json.dumps(CHAT))).status_code == 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert answer.status_code == 429 and answer.json()["error"]["code"] == "H09"
        assert post(server, json.dumps(CHAT), server.headers("reviewer")).status_code != 429
    end = time.monotonic() + 10
    while post(server, json.dumps(CHAT)).status_code == 429 and time.monotonic() < end:
        time.sleep(0.05)
    still_well(server)


def test_a_ledger_that_fails_answers_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.gateway, "ledger", closed_ledger(tmp_path / "closed"))
    for stream in (False, True):
        answer = post(server, json.dumps(CHAT | {"stream": stream}))
        assert answer.status_code == 503 and "三行" not in answer.text
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{server.address}/readyz", headers=server.headers()).status_code == 503


def test_metrics_count_without_names(server: Server) -> None:
    still_well(server)
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{server.address}/metrics", headers=server.headers()).status_code == 403
        text = client.get(f"{server.address}/metrics", headers=server.headers("auditor")).text
    assert 'so8t_decisions_total{decision="ALLOW"' in text and "so8t_judge_seconds_bucket" in text
    assert "議事録" not in text and "user" not in text


def test_what_nobody_foresaw_says_nothing_of_the_inside(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(type(server.gateway), "ask", broken)
    answer = post(server, json.dumps(CHAT))
    assert answer.status_code == 500 and "inner secret" not in answer.text and "ZeroDivision" not in answer.text
