"""vLLM, LM Studio and the like: whole prompts in, what they answer wrongly is one clear error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from so8t.ask.backend import Generation, Piece, Sampling
from so8t.ask.openai import OpenAiCompatible
from so8t.core.errors import BackendDown, BackendProtocol, EmbeddingsMissing, LogprobsMissing, OutboundRefused

LABELS = ("ALLOW", "ESCALATE", "DENY")
TOKENS = {"ALLOW": "AL", "ESCALATE": "ES", "DENY": "D"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, question: Callable[[OpenAiCompatible], Awaitable[Any]], key: str = "") -> Any:
    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        backend = OpenAiCompatible(f"http://127.0.0.1:{port}", "m", TOKENS, 5.0, key)
        try:
            return await question(backend)
        finally:
            await backend.close()
            await runner.cleanup()

    return asyncio.run(run())


def telling(body: Any, seen: list[dict[str, Any]] | None = None, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        if seen is not None:
            told = {"path": request.path, "key": request.headers.get("Authorization")}
            seen.append(told | (await request.json() if request.can_read_body else {}))
        return web.json_response(body, status=status)

    return handler


def choice(**fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    return {"choices": [{"index": 0, "text": "", "finish_reason": "stop", "logprobs": None} | fields], "usage": usage}


def test_a_whole_prompt_is_sent_as_it_is() -> None:
    seen: list[dict[str, Any]] = []
    made = against(
        telling(choice(text="はい"), seen),
        lambda b: b.generate("<|user|>x<|end|>", 9, ("<|end|>",), Sampling(0.7, 0.9, 4)),
        "secret",
    )
    assert isinstance(made, Generation) and (made.text, made.tokens, made.stopped, made.prompt_tokens) == (
        "はい",
        3,
        True,
        5,
    )
    (asked,) = seen
    assert (
        asked["path"] == "/v1/completions" and asked["key"] == "Bearer secret" and asked["add_special_tokens"] is False
    )
    assert (asked["prompt"], asked["max_tokens"], asked["stop"]) == ("<|user|>x<|end|>", 9, ["<|end|>"])
    assert (asked["temperature"], asked["top_p"], asked["seed"]) == (0.7, 0.9, 4)
    assert "response_format" not in asked


def test_a_schema_is_asked_for() -> None:
    seen: list[dict[str, Any]] = []
    against(telling(choice(text="{}"), seen), lambda b: b.generate("x", 9, (), Sampling(schema='{"type": "object"}')))
    assert seen[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_label_scores_by_first_tokens() -> None:
    body = choice(logprobs={"top_logprobs": [{"AL": -0.1, "ES": -2.0, "D": -3.0, "x": -4.0}]})
    assert against(telling(body), lambda b: b.label_scores("x", LABELS)) == [-0.1, -2.0, -3.0]


def test_a_label_outside_the_first_twenty_is_not_guessed() -> None:
    body = choice(logprobs={"top_logprobs": [{"AL": -0.1, "ES": -2.0}]})
    with pytest.raises(BackendProtocol, match="DENY"):
        against(telling(body), lambda b: b.label_scores("x", LABELS))
    with pytest.raises(LogprobsMissing):
        against(telling(choice()), lambda b: b.label_scores("x", LABELS))
    with pytest.raises(BackendProtocol, match="alike"):
        against(telling(choice()), lambda b: b.label_scores("x", ("ALLOW", "OTHER")))


def events(*lines: str, done: bool = True) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for line in lines:
            await response.write(f"data: {line}\n\n".encode())
        if done:
            await response.write(b"data: [DONE]\n\n")
        return response

    return handler


async def all_pieces(backend: OpenAiCompatible) -> list[Piece]:
    return [piece async for piece in backend.stream("x", 9)]


def part(text: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": finish}]}, ensure_ascii=False)


def test_a_stream_with_its_usage() -> None:
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    pieces = against(events(part("は"), part("い"), part("", "length"), usage), all_pieces)
    assert "".join(p.text for p in pieces) == "はい" and pieces[-1] == Piece("", 2, False, 7)
    assert all(p.stopped is None for p in pieces[:-1])


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([part("は")], "broke off"), ([part("は"), "{"], "JSON"),
        (['{"error": {"message": "no memory"}}'], "no memory"),
        (['{"choices": [5]}'], "choices"), (['{"choices": [{"finish_reason": "stop"}]}'], "text"),
        (['{"usage": {"prompt_tokens": "x", "completion_tokens": null}, "choices": []}'], "Error"),
    ],
)  # fmt: skip
def test_broken_streams(lines: list[str], word: str) -> None:
    with pytest.raises(BackendProtocol, match=word):
        against(events(*lines), all_pieces)


BAD = [{}, {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{}]}, {"choices": [{"text": "x"}]}]


@pytest.mark.parametrize("body", BAD)
def test_unreadable_answers(body: Any) -> None:
    async def both(backend: OpenAiCompatible) -> list[BaseException]:
        calls = (backend.generate("x", 4), backend.label_scores("x", LABELS))
        return [e for e in await asyncio.gather(*calls, return_exceptions=True) if isinstance(e, BaseException)]

    raised = against(telling(body), both)
    assert len(raised) == 2 and all(isinstance(e, (BackendProtocol, LogprobsMissing)) for e in raised)


def test_embeddings_and_servers_without() -> None:
    body = {"data": [{"embedding": [0.5, 1]}, {"embedding": [0, 2]}]}
    assert against(telling(body), lambda b: b.embed(["a", "b"])) == [[0.5, 1.0], [0.0, 2.0]]
    with pytest.raises(EmbeddingsMissing):
        against(telling({}, status=404), lambda b: b.embed(["a"]))


def test_alive() -> None:
    assert against(telling({"data": []}), lambda b: b.alive()) is True
    assert against(telling({}, status=503), lambda b: b.alive()) is False


def test_a_redirect_is_not_followed_and_no_other_path_is_called() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/v1/completions"})

    with pytest.raises(BackendProtocol, match="307"):
        against(handler, lambda b: b.generate("x", 4))
    with pytest.raises(OutboundRefused, match="/v1/files"):
        against(handler, lambda b: b.wire.get("/v1/files"))


@pytest.mark.parametrize("address", ["http://localhost:1", "http://vllm.local", "http://127.0.0.1/v1"])
def test_only_literal_addresses(address: str) -> None:
    with pytest.raises(BackendDown, match="literal"):
        OpenAiCompatible(address, "m", TOKENS)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert against(telling({"data": []}), lambda b: b.alive()) is True


STATUSES = [(502, BackendDown), (503, BackendDown), (504, BackendDown), (500, BackendProtocol)]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_gateway_error_is_a_server_that_is_not_there(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=str(status)):
        against(telling({}, status=status), lambda b: b.generate("x", 4))
