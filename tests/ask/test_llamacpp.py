"""The llama.cpp client: equal to transformers on a real server, one clear error on all that a server can do wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from so8t.ask import llamacpp, wire
from so8t.ask.backend import Backend, FakeBackend, Sampling
from so8t.ask.hf import HuggingFace
from so8t.ask.llamacpp import LlamaCpp
from so8t.core.errors import BackendDown, BackendProtocol

LABELS = ("ALLOW", "ESCALATE", "DENY")
PROMPTS = [
    f"<|user|>権限:社内限定 区分:部外秘\n{text}<|end|><|assistant|>"
    for text in (
        "検査報告を送って。",
        "経費精算の締め日は？",
        "𠮷野家の👨‍👩‍👧",
        "VPN settings",
        "あ" * 60,
        "1",
        "が",
        "。",
        "ALLOW",
        "x y z",
    )
]


def ask(address: str, question: Callable[[LlamaCpp], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        backend = LlamaCpp(address, seconds=20.0)
        try:
            return await question(backend)
        finally:
            await backend.close()

    return asyncio.run(run())


def test_label_scores_equal_transformers(address: str, twin: Any) -> None:
    """Random models continue with pieces of characters; the labels must be scored at the next position even so."""

    async def scores(backend: Backend) -> list[list[float]]:
        return [await backend.label_scores(p, LABELS) for p in PROMPTS]

    ours, theirs = ask(address, scores), asyncio.run(scores(twin.reference))
    assert len({tuple(row) for row in theirs}) == len(PROMPTS)
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, abs=0.02)


def test_a_piece_of_a_character_as_next_token_is_among_the_cases(twin: Any) -> None:
    """Otherwise the test above would not test what it says."""
    reference: HuggingFace = twin.reference
    best = [reference.greedy(reference.encode(p), 1)[0][0] for p in PROMPTS]
    assert any("\ufffd" in reference.tokenizer.decode([t]) for t in best)


def test_greedy_tokens_and_their_rivals_equal_transformers(address: str, twin: Any) -> None:
    reference: HuggingFace = twin.reference
    for prompt in PROMPTS[:5]:
        ids = reference.encode(prompt)
        expected = reference.greedy(ids, 12)
        steps = ask(address, lambda b, ids=ids: b.greedy(ids, 12))
        for (token, near), (other, logits) in zip(steps, expected, strict=False):
            gap = float(logits.max() - logits[token])
            assert token == other or gap < 1e-2
            if token != other:
                break
            assert all(v == pytest.approx(float(logits.log_softmax(-1)[t]), abs=0.02) for t, v in near.items())


def test_tokenize_knows_turn_tokens_and_adds_none(address: str, twin: Any) -> None:
    for text in (*PROMPTS, "", "\n", "<|end|><|user|>", "制御\x01"):
        assert ask(address, lambda b, text=text: b.tokenize(text)) == twin.reference.encode(text)


def test_generate_stops_at_the_end_of_the_turn(tmp_path: Path, twin: Any) -> None:
    """A model that always says <|end|>: nothing is returned, and it counts as stopped."""
    import copy

    from so8t.ask.llamacpp_server import serve
    from so8t.build.export.phi3 import export_f16

    model = copy.deepcopy(twin.reference.model)
    end = twin.reference.tokenizer.convert_tokens_to_ids("<|end|>")
    with torch.no_grad():
        model.model.norm.weight.zero_()  # then every logit is zero, but for ties broken below
    folder = tmp_path / "m"
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.model.norm.weight.fill_(1.0)
        direction = torch.ones(64)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(direction.expand_as(model.model.embed_tokens.weight))
        model.lm_head.weight.zero_()
        model.lm_head.weight[end] = 1.0
    model.save_pretrained(folder)
    twin.reference.tokenizer.save_pretrained(folder)
    export_f16(folder, tmp_path / "end.gguf", "end")
    with serve(tmp_path / "end.gguf", 128) as running:
        made = ask(running, lambda b: b.generate("<|user|>x<|end|><|assistant|>", 20, ("<|end|>",)))
        bare = ask(running, lambda b: b.generate("<|user|>x<|end|><|assistant|>", 20))
    for generation in (made, bare):
        assert generation.text == ""
        assert generation.stopped
        assert generation.tokens <= 1


def test_generate_says_when_the_limit_cut_it(address: str) -> None:
    made = ask(address, lambda b: b.generate("検査", 3, ("決して出ない語",)))
    assert made.tokens <= 4 and not made.stopped
    assert made.seconds > 0


def test_stop_word_ends_the_text(address: str) -> None:
    whole = ask(address, lambda b: b.generate(PROMPTS[0], 24)).text
    word = next((c for c in whole[1:] if c not in ("\ufffd", whole[0])), None)
    assert word is not None
    made = ask(address, lambda b: b.generate(PROMPTS[0], 24, (word,)))
    assert made.text == whole[: whole.index(word)]
    assert made.stopped


@pytest.mark.parametrize("labels", [("ALLOW", "ALLOW"), ("検査A", "検査B"), ("ALLOW", "")])
def test_labels_beginning_alike_or_empty_are_refused(address: str, twin: Any, labels: tuple[str, ...]) -> None:
    with pytest.raises(BackendProtocol, match="alike"):
        ask(address, lambda b: b.label_scores("x", labels))
    with pytest.raises(BackendProtocol, match="alike"):
        asyncio.run(twin.reference.label_scores("x", labels))


BAD_ADDRESSES = (
    "http://localhost:8080", "http://example.com", "http://127.0.0.1.nip.io:80", "http://2130706433:80",
    "127.0.0.1:8080", "http://[::1", "http:///x", "",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_ADDRESSES)
def test_names_instead_of_addresses_are_refused_before_anything_is_sent(name: str) -> None:
    with pytest.raises(BackendDown, match="literal IP"):
        LlamaCpp(name)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://[::1]:9", "http://192.168.1.5"]
)
def test_literal_addresses_are_taken(address: str) -> None:
    assert LlamaCpp(address).address == address.rstrip("/")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, question: Callable[[LlamaCpp], Awaitable[Any]], seconds: float = 10.0) -> Any:
    """Ask a small server whose every path answers with `handler`."""

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        backend = LlamaCpp(f"http://127.0.0.1:{port}", seconds)
        try:
            return await question(backend)
        finally:
            await backend.close()
            await runner.cleanup()

    return asyncio.run(run())


def answering(body: bytes | str, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body.encode() if isinstance(body, str) else body, status=status)

    return handler


async def every_call(backend: LlamaCpp) -> list[BaseException]:
    """What each of the four calls raises."""
    calls = (
        backend.label_scores("x", LABELS), backend.generate("x", 4), backend.greedy([1], 4), backend.tokenize("x"),
    )  # fmt: skip
    return [e for e in await asyncio.gather(*calls, return_exceptions=True) if isinstance(e, BaseException)]


BAD_BODIES = {
    "empty": "", "half json": '{"tokens": [1, 2', "html": "<html>busy</html>", "a list": "[]", "a word": '"ok"',
    "null": "null", "no keys": "{}", "error": '{"error": "slot"}', "not utf-8": b"\xff\xfe{}",
    "deep": '{"tokens":' + "[" * 100_000,
    "wrong types": json.dumps(
        {"tokens": 5, "content": None, "completion_probabilities": 7, "stop_type": 1, "tokens_predicted": "x"}
    ),
    "odd items": json.dumps(
        {"tokens": ["a"], "completion_probabilities": ["a"], "stop_type": "eos", "content": ""}
    ),
    "nested null": json.dumps(
        {"tokens": [None], "completion_probabilities": [{"top_logprobs": None}], "stop_type": "eos", "content": ""}
    ),
    "infinite": '{"tokens": [1e999], "completion_probabilities": [{"id": 1e999, "top_logprobs": []}], '
    '"stop_type": "eos", "content": "", "tokens_predicted": 1e999}',
}  # fmt: skip


@pytest.mark.parametrize("body", list(BAD_BODIES.values()), ids=list(BAD_BODIES))
def test_unreadable_answers_are_protocol_errors(body: str | bytes) -> None:
    raised = against(answering(body), every_call)
    assert len(raised) == 4
    assert [type(e) for e in raised] == [BackendProtocol] * 4


@pytest.mark.parametrize("status", [500, 503, 404, 204])
def test_http_errors_are_said_with_their_number(status: int) -> None:
    raised = against(answering("" if status == 204 else '{"error": "no slot"}', status), every_call)
    assert len(raised) == 4
    assert all(isinstance(e, BackendDown if status == 503 else BackendProtocol) for e in raised)
    assert all(str(status) in str(e) for e in raised)


def test_redirects_are_not_followed() -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": f"http://{request.host}/elsewhere"})

    raised = against(handler, every_call)
    assert [type(e) for e in raised] == [BackendProtocol] * 4
    assert all("307" in str(e) for e in raised)
    assert set(paths) == {"/tokenize", "/completion"}


def test_huge_answers_are_refused_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 1 << 16)
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"tokens": [1')
        try:
            for _ in range(2000):
                await response.write(b", 1" * 20_000)
                sent += 60_000
        except (ConnectionError, OSError):
            pass
        return response

    async def call(backend: LlamaCpp) -> BaseException:
        with pytest.raises(BackendProtocol) as caught:
            await backend.tokenize("x")
        return caught.value

    assert "65536" in str(against(handler, call))
    assert sent < 50_000_000


def test_an_answer_in_many_pieces_is_read_whole() -> None:
    """A vocabulary's worth of probabilities comes in several packets."""
    body = json.dumps({"tokens": list(range(5000))}).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(body), 7000):
            await response.write(body[start : start + 7000])
            await asyncio.sleep(0.01)
        return response

    assert against(handler, lambda b: b.tokenize("x")) == list(range(5000))


def test_labels_outside_the_first_candidates_are_looked_up() -> None:
    """Asked with few candidates first, then with all; what no one reports is as good as impossible."""
    asked: list[int] = []
    tokens = {"ALLOW": 7, "ESCALATE": 8, "DENY": 9}

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        if request.path == "/tokenize":
            return web.json_response({"tokens": [tokens[body["content"]], 1]})
        asked.append(body["n_probs"])
        top = [{"id": 7, "logprob": -0.1}] + ([{"id": 8, "logprob": None}] if body["n_probs"] > 1000 else [])
        return web.json_response({"completion_probabilities": [{"id": 7, "top_logprobs": top}], "tokens": [7]})

    scores = against(handler, lambda b: b.label_scores("x", LABELS))
    assert scores == [-0.1, llamacpp.NO_PROBABILITY, llamacpp.NO_PROBABILITY]
    assert len(asked) == 2 and asked[0] < asked[1]


def test_refused_connection_is_down() -> None:
    async def call(backend: LlamaCpp) -> list[BaseException]:
        return await every_call(backend)

    raised = ask("http://127.0.0.1:1", call)
    assert [type(e) for e in raised] == [BackendDown] * 4


def test_silence_is_down_in_time() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    raised = against(handler, every_call, seconds=0.3)
    assert [type(e) for e in raised] == [BackendDown] * 4


def test_a_connection_that_breaks_in_the_answer_is_down() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"tokens"')
        assert request.transport is not None
        request.transport.close()
        return response

    raised = against(handler, every_call)
    assert [type(e) for e in raised] == [BackendDown] * 4


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert against(answering('{"tokens": [3]}'), lambda b: b.tokenize("x")) == [3]


def test_fake_backend_keeps_the_contract() -> None:
    async def run() -> None:
        fake = FakeBackend(scores={"秘": (0.0, -1.0, -2.0)})
        assert await fake.label_scores("極秘", LABELS) == [0.0, -1.0, -2.0]
        assert await fake.label_scores("a", LABELS) != await fake.label_scores("b", LABELS)
        with pytest.raises(BackendDown):
            await FakeBackend(error=BackendDown()).label_scores("a", LABELS)

    asyncio.run(run())


def test_a_schema_holds_even_random_weights(address: str) -> None:
    schema = {
        "type": "object", "properties": {"tool": {"enum": ["plan/day", "none"]}}, "required": ["tool"],
        "additionalProperties": False,
    }  # fmt: skip
    sampling = Sampling(1.0, 1.0, 4, json.dumps(schema))  # the likeliest of random weights may be spaces for ever
    for prompt in PROMPTS[:3]:
        made = ask(address, lambda b, p=prompt: b.generate(p, 400, (), sampling))  # type: ignore[misc]
        assert json.loads(made.text)["tool"] in ("plan/day", "none"), made.text
