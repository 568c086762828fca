"""The Ollama backend: closed where Ollama says too little, one clear error on all that a server can do wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from so8t.ask import wire
from so8t.ask.backend import Sampling
from so8t.ask.ollama import Ollama
from so8t.ask.ollama_api import OllamaApi
from so8t.core.errors import BackendDown, BackendProtocol, LogprobsMissing, So8tError

LABELS = ("ALLOW", "ESCALATE", "DENY")
TOKENS = {"ALLOW": "ALLOW", "ESCALATE": "ES", "DENY": "DEN"}
TOP = [{"token": "ES", "logprob": -0.2}, {"token": "ALLOW", "logprob": -2}, {"token": "DEN", "logprob": -3.5}]
GOOD = {
    "done": True, "response": "ES", "done_reason": "length", "prompt_eval_count": 9, "eval_count": 1,
    "logprobs": [{"token": "ES", "logprob": -0.2, "top_logprobs": TOP}],
}  # fmt: skip
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, question: Callable[[Ollama], Awaitable[Any]], tokens: dict[str, str] = TOKENS) -> Any:
    """Ask a small server whose every path answers with `handler`."""

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        backend = Ollama(f"http://127.0.0.1:{runner.addresses[0][1]}", "so8t:q8_0", 64, tokens, 2.0)
        try:
            return await question(backend)
        finally:
            await backend.close()
            await runner.cleanup()

    return asyncio.run(run())


def answering(body: Any, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status)

    return handler


def scores(backend: Ollama) -> Awaitable[list[float]]:
    return backend.label_scores("x", LABELS)


def test_scores_in_the_order_of_the_labels() -> None:
    assert against(answering(GOOD), scores) == [-2.0, -0.2, -3.5]


def test_of_two_tokens_spelt_alike_the_likelier_counts() -> None:
    top = [*TOP, {"token": "ALLOW", "logprob": -9}]
    body = GOOD | {"logprobs": [{"token": "ES", "logprob": -0.2, "top_logprobs": top}]}
    assert against(answering(body), scores)[0] == -2.0


CLOSED: list[tuple[str, Any, type[So8tError], str]] = [
    ("older version", {k: v for k, v in GOOD.items() if k != "logprobs"}, LogprobsMissing, "so8t:q8_0"),
    ("no text", GOOD | {"response": "", "logprobs": []}, BackendProtocol, "no text"),
    ("one label outside", GOOD | {"logprobs": [{"top_logprobs": TOP[:2]}]}, BackendProtocol, "DENY: not among the 2"),
    ("no rivals", GOOD | {"logprobs": [{"token": "ES", "logprob": 0}]}, BackendProtocol, "top_logprobs"),
    ("odd rivals", GOOD | {"logprobs": [{"top_logprobs": [{"token": "ES", "logprob": "x"}]}]}, BackendProtocol, "api"),
    ("nested null", GOOD | {"logprobs": [None]}, BackendProtocol, "api"),
    ("context full", GOOD | {"prompt_eval_count": 64}, BackendProtocol, "context 64"),
    ("no count", {k: v for k, v in GOOD.items() if k != "prompt_eval_count"}, BackendProtocol, "None tokens"),
    ("not done", GOOD | {"done": False}, BackendProtocol, "not done"),
    ("error under 200", {"error": "model is busy"}, BackendProtocol, "busy"),
    ("a list", [], BackendProtocol, "JSON"),
    ("half", b'{"done": tr', BackendProtocol, "JSON"),
    ("deep", b'{"done":' + b"[" * 100_000, BackendProtocol, "JSON"),
    ("not utf-8", b"\xff\xfe{}", BackendProtocol, "JSON"),
    ("huge number", b'{"done": ' + b"1" * 5000 + b"}", BackendProtocol, "JSON"),
]


@pytest.mark.parametrize(("body", "error", "word"), [c[1:] for c in CLOSED], ids=[c[0] for c in CLOSED])
def test_too_little_is_never_guessed(body: Any, error: type[So8tError], word: str) -> None:
    with pytest.raises(error, match=word):
        against(answering(body), scores)


@pytest.mark.parametrize("tokens", [{}, {**TOKENS, "DENY": "ES"}, {"ALLOW": "ALLOW"}])
def test_labels_without_first_tokens_of_their_own_are_refused_unasked(tokens: dict[str, str]) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(GOOD)

    with pytest.raises(BackendProtocol, match="alike"):
        against(handler, scores, tokens)
    assert asked == []


def test_generate() -> None:
    made = against(answering(GOOD | {"done_reason": "stop", "eval_count": 7}), lambda b: b.generate("x", 9, ("。",)))
    assert (made.text, made.tokens, made.stopped) == ("ES", 7, True)
    assert not against(answering(GOOD), lambda b: b.generate("x", 9)).stopped
    with pytest.raises(BackendProtocol, match="done_reason"):
        against(answering({k: v for k, v in GOOD.items() if k != "done_reason"}), lambda b: b.generate("x", 9))


def test_no_tokenizer_is_said() -> None:
    with pytest.raises(BackendProtocol, match="no tokenizer"):
        against(answering(GOOD), lambda b: b.tokenize("x"))


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
def test_http_errors_are_said_with_ollamas_words(status: int) -> None:
    body = b"" if status == 204 else {"error": "model 'x'\nnot \x1b[31mfound" + "!" * 1000}
    with pytest.raises(BackendDown if status == 503 else BackendProtocol, match=str(status)) as caught:
        against(answering(body, status), scores)
    assert "\x1b" not in str(caught.value) and len(caught.value.detail) < 250


def test_redirects_are_not_followed() -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": f"http://{request.host}/elsewhere"})

    with pytest.raises(BackendProtocol, match="307"):
        against(handler, scores)
    assert paths == ["/api/generate"]


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    assert len(against(answering(GOOD), scores)) == 3


def test_silence_and_refusal_are_down() -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    with pytest.raises(BackendDown, match="Timeout"):
        against(silent, scores)

    async def refused() -> None:
        backend = Ollama("http://127.0.0.1:1", "x", 64, TOKENS)
        try:
            await backend.generate("x", 1)
        finally:
            await backend.close()

    with pytest.raises(BackendDown):
        asyncio.run(refused())


ADDRESSES = (
    "http://localhost:11434", "http://example.com", "http://2130706433:11434", "127.0.0.1:11434", "http://[::1", "",
    "ftp://127.0.0.1", "http://127.0.0.1:11434/api", "http://u:p@127.0.0.1", "http://127.0.0.1:99999",
    "http://127.0.0.1?x", "http://127.0.0.1/#x",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_anything_but_a_literal_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(BackendDown, match="literal IP"):
        OllamaApi(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:11434/", "http://[::1]:9", "https://192.168.1.5"])
def test_literal_addresses_are_taken(address: str) -> None:
    assert OllamaApi(address).address == address.rstrip("/")


# -- streamed lines -------------------------------------------------------------------------------------------------


def streamed(*pieces: bytes, pause: float = 0.0) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause)
        return response

    return handler


async def all_lines(backend: Ollama) -> list[dict[str, Any]]:
    return [line async for line in backend.api.lines("/api/create", {})]


def test_lines_are_put_together_from_pieces() -> None:
    pieces = (b'{"stat', b'us": "a"}\n\n{"status": "\xe8', b"\xa9", b'\xa6"}\n{"status": "success"}')
    lines = against(streamed(*pieces, pause=0.01), all_lines)
    assert [line["status"] for line in lines] == ["a", "試", "success"]


@pytest.mark.parametrize(
    ("pieces", "word"),
    [
        ((b'{"status": "a"}\n', b'{"error": "no space left"}\n'), "no space left"),
        ((b"[1]\n",), "not an object"),
        ((b'{"status": "a"\n',), "JSON"),
    ],
)
def test_error_lines_and_broken_lines_are_errors(pieces: tuple[bytes, ...], word: str) -> None:
    with pytest.raises(BackendProtocol, match=word):
        against(streamed(*pieces), all_lines)


@pytest.mark.parametrize("piece", [b"x" * 1000, b'{"a": 1}\n' * 100], ids=["one line", "many lines"])
def test_endless_streams_end(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(wire, "MAX_LINE_BYTES", 1 << 14)
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 1 << 16)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100_000):
            await response.write(piece)
        raise AssertionError("read to the end")

    with pytest.raises(BackendProtocol, match="bytes"):
        against(handler, all_lines)


def test_a_stream_that_stalls_is_down() -> None:
    async def question(backend: Ollama) -> Any:
        api = OllamaApi(backend.api.address, stall=0.2)
        try:
            return [line async for line in api.lines("/api/create", {})]
        finally:
            await api.close()

    with pytest.raises(BackendDown, match="Timeout"):
        against(streamed(b'{"status": "a"}\n', b"", pause=1.0), question)


def test_a_schema_is_the_format_asked_for() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response(GOOD | {"done_reason": "stop"})

    for schema in ("", '{"type": "object"}'):
        against(handler, lambda b, s=schema: b.generate("x", 9, (), Sampling(schema=s)))  # type: ignore[misc]
    assert "format" not in seen[0] and seen[1]["format"] == {"type": "object"}
