"""A server that answers as Ollama does, written from docs/api.md and server/*.go of github.com/ollama/ollama (v0.33).

It is no Ollama: what it proves is that our side keeps to the documented interface and survives every failure of it.
Switches make it an older or a broken one. Behind /api/generate and /api/chat stands an Engine: words given in advance,
or llama.cpp on the GGUF that was uploaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from gguf import GGUFReader, LlamaFileType
from jinja2 import Template

from so8t.ask.llamacpp_server import serve
from so8t.build.export.template.go_evaluate import evaluate
from so8t.core.errors import So8tError

Json = dict[str, Any]
NUMBERS = {"num_ctx", "num_predict", "temperature", "top_k", "top_p", "seed", "repeat_penalty"}


@dataclass(frozen=True)
class Completion:
    """As llama.cpp's server gives it; `probabilities`: token, logprob and top_logprobs of each position."""

    text: str
    count: int
    prompt_count: int
    stop_type: str
    probabilities: list[Json]


class TooLong(Exception):
    """The prompt does not fit the context."""


class Engine(Protocol):
    async def complete(self, model: Path, prompt: str, options: Json, most_likely: int) -> Completion: ...

    def close(self) -> None: ...


@dataclass
class Scripted:
    """Says the same words to everybody; three characters are a token."""

    words: str = "ALLOW\n議題と決定事項を順に書きます。"
    near: dict[str, float] = field(default_factory=lambda: {"ALLOW": -0.1, "ESC": -2.5, "DENY": -4.0, "あ": -6.0})

    async def complete(self, model: Path, prompt: str, options: Json, most_likely: int) -> Completion:
        prompt_count = max(1, len(prompt) // 3)
        if prompt_count >= options["num_ctx"]:
            raise TooLong
        text, stop_type = self.words[: 3 * options.get("num_predict", 99)], "limit"
        if len(text) == len(self.words):
            stop_type = "eos"
        for stop in options.get("stop", ()):
            if stop in text:
                text, stop_type = text[: text.index(stop)], "word"
        top = [{"token": t, "logprob": v} for t, v in list(self.near.items())[:most_likely]]
        return Completion(text, 1, prompt_count, stop_type, [{**top[0], "top_logprobs": top}] if top else [])

    def close(self) -> None:
        return None


class LlamaCppEngine:
    """The real thing on the uploaded file, started at the first question."""

    def __init__(self, context: int) -> None:
        self.context = context
        self._stack = contextlib.ExitStack()
        self._running: dict[Path, str] = {}

    async def complete(self, model: Path, prompt: str, options: Json, most_likely: int) -> Completion:
        if model not in self._running:
            self._running[model] = await asyncio.to_thread(self._stack.enter_context, serve(model, self.context))
        body = {
            "prompt": prompt, "n_predict": options.get("num_predict", -1), "temperature": options["temperature"],
            "stop": options.get("stop", []), "n_probs": most_likely, "cache_prompt": False,
        }  # fmt: skip
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._running[model] + "/completion", json=body) as response,
        ):
            answer = await response.json()
        if response.status == 400:
            raise TooLong
        return Completion(
            answer["content"], answer["tokens_predicted"], answer["tokens_evaluated"], answer["stop_type"],
            answer.get("completion_probabilities", []),
        )  # fmt: skip

    def close(self) -> None:
        self._stack.close()


@dataclass
class Model:
    file: Path
    digest: str
    template: str
    system: str
    parameters: Json


@dataclass
class StandIn:
    """The server and its switches."""

    folder: Path
    engine: Engine = field(default_factory=Scripted)
    version: str = "0.33.0"
    logprobs: bool = True  # False: older than v0.12.11
    shows_prompts: bool = True  # _debug_render_only
    knows_truncate: bool = True  # False: older, cuts what is too long
    copies: bool = False  # True: v0.30 and later write the GGUF anew
    prefers_jinja: bool = False  # the GGUF's own template wins
    create_line: str = ""  # an error line in the midst of /api/create, under HTTP 200
    create_cut: bool = False  # the stream of /api/create ends early
    refuse_blobs: bool = False  # says that the digest is wrong
    drop_uploads: int = 0  # breaks so many connections in the midst of an upload
    redirect: str = ""
    huge: bool = False
    silent: float = 0.0
    template_lie: str = ""
    keeps_deleted: bool = False
    keeps_any_blob: bool = False
    takes_any_template: bool = False
    ignores_stop: bool = False
    extra_tokens: int = 0  # a beginning of text too many
    skew: float = 0.0  # of the log-probabilities
    body: str = ""  # what /api/generate and /api/chat answer instead
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)

    def paths(self, method: str = "") -> list[str]:
        return [p for m, p, _ in self.requests if method in ("", m)]

    def blob(self, digest: str) -> Path:
        return self.folder / digest.replace(":", "-")

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20, middlewares=[self._trouble])
        app.router.add_get("/api/version", self._version)
        app.router.add_route("HEAD", "/api/blobs/{digest}", self._has_blob)
        app.router.add_post("/api/blobs/{digest}", self._take_blob)
        app.router.add_post("/api/create", self._create)
        app.router.add_post("/api/show", self._show)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_delete("/api/delete", self._delete)
        app.router.add_post("/api/generate", self._generate)
        app.router.add_post("/api/chat", self._chat)
        return app

    @web.middleware
    async def _trouble(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.json() if request.content_type == "application/json" and request.can_read_body else {}
        self.requests.append((request.method, request.path, body))
        if self.silent:
            await asyncio.sleep(self.silent)
        if self.redirect:
            return web.Response(status=307, headers={"Location": self.redirect + request.path})
        if self.huge and request.method != "HEAD":
            return await _endless(request)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self.version})

    async def _has_blob(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        if not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
            return _error(400, "invalid digest format")
        return web.Response(status=200 if self.blob(digest).is_file() else 404)

    async def _take_blob(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        hashed, partial = hashlib.sha256(), self.folder / "partial"
        with partial.open("wb") as f:
            async for piece in request.content.iter_any():
                hashed.update(piece)
                f.write(piece)
                if self.drop_uploads:
                    self.drop_uploads -= 1
                    assert request.transport is not None
                    request.transport.abort()
                    return web.Response()
        found = f"sha256:{hashed.hexdigest()}"
        if self.refuse_blobs or (found != digest and not self.keeps_any_blob):
            return _error(400, f'digest mismatch, expected "{digest}", got "{found}"')
        partial.rename(self.blob(digest))
        return web.Response(status=201)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", body.get("model", ""), re.ASCII):
            return _error(400, "invalid model name")
        if any(name.startswith("/") or ".." in name.split("/") for name in body.get("files", {})):
            return _error(400, "file path must be relative")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for line in self._creation(body):
            await response.write(json.dumps(line).encode() + b"\n")
            await asyncio.sleep(0)
            if self.create_cut:
                break
        return response

    def _creation(self, body: Json) -> Iterator[Json]:
        if "from" in body:
            yield {"status": "pulling manifest"}
            yield {"error": "pull model manifest: Get https://registry.ollama.ai: no route to host"}
            return
        if not body.get("files"):
            yield {"error": "neither 'from' or 'files' was specified"}
            return
        yield {"status": "parsing GGUF"}
        ((_, digest),) = body["files"].items()
        file = self.blob(digest)
        if not file.is_file():
            yield {"error": f"open {file}: no such file or directory"}
            return
        if file.read_bytes()[:4] != b"GGUF":
            yield {"error": "supplied file was not in GGUF format"}
            return
        if self.create_line:
            yield {"error": self.create_line}
            return
        if self.copies:
            yield {"status": "validating GGUF model", "digest": "0000000000000000000", "total": 1, "completed": 1}
            yield {"status": "verifying conversion"}
            file, digest = self._copy(file)
        try:
            evaluate(body.get("template", ""), {"Messages": [], "System": ""})
        except So8tError as error:
            if not self.takes_any_template:
                yield {"error": f"template error: {error.detail}"}
                return
        if wrong := [k for k, v in body.get("parameters", {}).items() if k in NUMBERS and isinstance(v, str)]:
            yield {"error": f"option {wrong[0]!r} must be a number"}
            return
        yield {"status": f"using existing layer {digest}"}
        yield {"status": "writing manifest"}
        self.models[body["model"]] = Model(
            file, digest, body.get("template", ""), body.get("system", ""), body.get("parameters", {})
        )
        yield {"status": "success"}

    def _copy(self, file: Path) -> tuple[Path, str]:
        content = file.read_bytes() + b"\0" * 32
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blob(digest).write_bytes(content)
        return self.blob(digest), digest

    async def _show(self, request: web.Request) -> web.Response:
        name = (await request.json()).get("model", "")
        model = self.models.get(name)
        if model is None:
            return _error(404, f"model '{name}' not found")
        lines = [f"FROM {model.file}", f'TEMPLATE """{model.template}"""']
        header = gguf_header(model.file)
        shown = {
            "license": "", "modelfile": '# Modelfile generated by "ollama show"\n\n' + "\n".join(lines),
            "parameters": _parameters(model.parameters), "system": model.system,
            "template": self.template_lie or (header["template"] if self.prefers_jinja else model.template),
            "details": {"format": "gguf", "family": "phi3", "quantization_level": header["level"]},
            "model_info": {"general.architecture": "phi3"},
        }  # fmt: skip
        return web.json_response(shown)

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"models": [{"name": n, "model": n, "digest": m.digest} for n, m in self.models.items()]}
        )

    async def _delete(self, request: web.Request) -> web.Response:
        name = (await request.json()).get("model", "")
        if name not in self.models:
            return _error(404, f"model '{name}' not found")
        if not self.keeps_deleted:
            del self.models[name]
        return web.Response(status=200)

    async def _generate(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["raw"] is True and body["stream"] is False, "this stand-in knows complete prompts only"
        return await self._answer(body, body["prompt"], lambda text: {"response": text})

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        model = self.models.get(body["model"])
        prompt = self._render(model, body["messages"]) if model else ""
        if model and body.get("_debug_render_only") and self.shows_prompts:
            return web.json_response({"model": body["model"], "_debug_info": {"rendered_template": prompt}})
        return await self._answer(body, prompt, lambda text: {"message": {"role": "assistant", "content": text}})

    def _render(self, model: Model, messages: list[Json]) -> str:
        if model.system and not any(m["role"] == "system" for m in messages):
            messages = [{"role": "system", "content": model.system}, *messages]
        if self.prefers_jinja:
            return Template(gguf_header(model.file)["template"]).render(messages=messages, add_generation_prompt=True)
        system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
        turns = [{"Role": m["role"], "Content": m["content"]} for m in messages]
        return evaluate(model.template, {"Messages": turns, "System": system})

    async def _answer(self, body: Json, prompt: str, shape: Any) -> web.Response:
        if self.body:
            return web.Response(body=self.body.encode(), content_type="application/json")
        if not 0 <= body.get("top_logprobs", 0) <= 20:
            return _error(400, "top_logprobs must be between 0 and 20")
        model = self.models.get(body["model"])
        if model is None:
            return _error(404, f"model '{body['model']}' not found")
        options = {"temperature": 0.8, "num_ctx": 4096} | model.parameters | body.get("options", {})
        if self.ignores_stop:
            del options["stop"]
        wanted = max(body.get("top_logprobs", 0), 1) if body.get("logprobs") and self.logprobs else 0
        made = await self._complete(model, prompt, options, wanted, body)
        if made is None:
            return _error(400, "the prompt is longer than the context length currently available to the model")
        answer = {"model": body["model"], "done": True, **shape(made.text)}
        answer["done_reason"] = "length" if made.stop_type == "limit" else "stop"
        answer |= {"prompt_eval_count": made.prompt_count + self.extra_tokens, "eval_count": made.count}
        if wanted and made.text:  # llama-server reports a position with the text that it sends
            answer["logprobs"] = [_skewed(p, self.skew) for p in made.probabilities]
        return web.json_response(answer)

    async def _complete(self, model: Model, prompt: str, options: Json, wanted: int, body: Json) -> Completion | None:
        """None for a prompt that is refused; where `truncate` is not known, or not forbidden, it is cut instead."""
        try:
            return await self.engine.complete(model.file, prompt, options, wanted)
        except TooLong:
            if self.knows_truncate and body.get("truncate") is False:
                return None
            made = await self.engine.complete(model.file, prompt[: options["num_ctx"]], options, wanted)
            return Completion(made.text, made.count, options["num_ctx"], made.stop_type, made.probabilities)


def gguf_header(file: Path) -> dict[str, str]:
    """Quantisation as Ollama names it, and the chat template."""
    fields = GGUFReader(file).fields
    level = LlamaFileType(int(fields["general.file_type"].contents())).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    template = fields.get("tokenizer.chat_template")
    return {"level": level, "template": str(template.contents()) if template else ""}


def _parameters(values: Json) -> str:
    rows = [(k, v) for k, values in values.items() for v in (values if isinstance(values, list) else [values])]
    return "\n".join(f"{k:<30} {json.dumps(v, ensure_ascii=False)}" for k, v in rows)


def _skewed(position: Json, by: float) -> Json:
    return position | {"top_logprobs": [p | {"logprob": p["logprob"] - by} for p in position["top_logprobs"]]}


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError, OSError):
        for _ in range(2000):
            await response.write(b'{"status": "' + b"x" * 60_000)
    return response


@contextlib.contextmanager
def running(stand_in: StandIn) -> Iterator[str]:
    """The address, while a thread of its own serves it."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(stand_in.application(), access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        stand_in.engine.close()
