"""Ollama's interface: /api/chat, /api/generate, /api/embed, /api/tags, /api/show, /api/version.

Source: docs/api.md of github.com/ollama/ollama, as of v0.33. What is added: the field `so8t` (in a stream, in its first
line) and the headers x-so8t-*. A request that is refused or handed over is a normal answer that says so, with
done_reason "content_filter". What would change the models is not offered here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from so8t.core.errors import RecordInvalid, So8tError
from so8t.core.types import Reply
from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import Stream
from so8t.operate.identity.identity import Identity
from so8t.operate.intake.intake import Said
from so8t.operate.intake.upload import Upload, from_base64
from so8t.operate.server.body import Json, read_json
from so8t.operate.server.errors import NotOffered, ollama_error
from so8t.operate.server.office import Office, finish_reason, shown, verdict_headers
from so8t.operate.server.openai import texts

VERSION = "0.33.0"  # of the interface spoken here
CHANGING = ("create", "copy", "delete", "pull", "push")
ROLES = ("system", "user", "assistant")
Worded = Callable[[str], Json]


def routes(office: Office) -> list[Route]:
    api = Ollama(office)
    return [
        Route("/api/chat", api.chat, methods=["POST"]),
        Route("/api/generate", api.generate, methods=["POST"]),
        Route("/api/embed", api.embed, methods=["POST"]),
        Route("/api/embeddings", api.embeddings, methods=["POST"]),
        Route("/api/tags", api.tags, methods=["GET"]),
        Route("/api/ps", api.tags, methods=["GET"]),
        Route("/api/show", api.show, methods=["POST"]),
        Route("/api/version", api.version, methods=["GET"]),
        *(Route(f"/api/{name}", api.not_offered, methods=["POST", "DELETE"]) for name in CHANGING),
        Route("/api/blobs/{digest}", api.not_offered, methods=["HEAD", "POST"]),
    ]


@dataclass(frozen=True, slots=True)
class Ollama:
    office: Office

    async def chat(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http, self.office.longest)
        if body.get("tools") or body.get("format"):
            raise RecordInvalid(where="tools, format", detail="not offered")
        said = _turns(body.get("messages"))
        return await self._answered(identity, body, said, lambda text: {"message": _message(text)})

    async def generate(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http, self.office.longest)
        for name in ("template", "raw", "format", "suffix", "context"):
            if body.get(name):
                raise RecordInvalid(where=name, detail="not offered")
        system, prompt = body.get("system") or "", body.get("prompt") or ""
        if not isinstance(system, str) or not isinstance(prompt, str):
            raise RecordInvalid(where="prompt", detail="text expected")
        said = [Said("system", system)] if system else []
        asked = Said("user", prompt, _images(body.get("images"), "images"))
        return await self._answered(identity, body, [*said, asked], lambda text: {"response": text})

    async def _answered(self, identity: Identity, body: Json, said: Sequence[Said], worded: Worded) -> Response:
        """Everything the client chose is checked before anything is searched, called or judged for it."""
        model, options = self.office.known(body.get("model")), self._options(body.get("options") or {})
        if body.get("stream", True) not in (True, False):
            raise RecordInvalid(where="stream", detail="true or false expected")
        request = await self.office.prepared(identity, await self.office.asked(identity, said, body))
        one = _Asked(self.office, request, options, worded)
        return await (one.streamed(model) if body.get("stream", True) else one.whole(model))

    def _options(self, options: object) -> AnswerOptions:
        if not isinstance(options, dict):
            raise RecordInvalid(where="options", detail="an object expected")
        return self.office.options(
            options.get("num_predict"), options.get("temperature"), options.get("top_p"), options.get("seed"),
            options.get("stop"),
        )  # fmt: skip

    async def embed(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        model = self.office.known(body.get("model"))
        vectors = await self.office.gateway.embed(identity.name, texts(body.get("input")))
        return _json({"model": model, "embeddings": vectors})

    async def embeddings(self, http: HttpRequest) -> Response:
        """The older form, one text at a time."""
        identity = await self.office.identity(http)
        body = await read_json(http)
        self.office.known(body.get("model"))
        return _json({"embedding": (await self.office.gateway.embed(identity.name, texts(body.get("prompt"))))[0]})

    async def tags(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        return _json({"models": [self._model(name) for name in self.office.models(identity)]})

    async def show(self, http: HttpRequest) -> Response:
        await self.office.identity(http)
        body = await read_json(http)
        name = self.office.known(body.get("model", body.get("name")))
        shown_ = {"details": self._model(name)["details"], "model_info": {}, "capabilities": ["completion"]}
        return _json({"modelfile": "", "parameters": "", "template": "", **shown_})

    async def version(self, http: HttpRequest) -> Response:
        await self.office.identity(http)
        return _json({"version": VERSION})

    async def not_offered(self, http: HttpRequest) -> Response:
        await self.office.identity(http)
        raise NotOffered(detail=http.url.path)

    def _model(self, name: str) -> Json:
        at = datetime.fromtimestamp(self.office.created, UTC).isoformat()
        details = {"format": "gguf", "parent_model": "", "families": None, **self.office.details["details"]}
        return {
            "name": name, "model": name, "modified_at": at, "size": self.office.details["size"],
            "digest": self.office.details["digest"], "details": details,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asked:
    """One judged request in Ollama's words; `worded` puts a piece of text where the endpoint has it."""

    office: Office
    request: Any
    options: AnswerOptions
    worded: Worded

    async def whole(self, model: str) -> Response:
        begin = time.perf_counter_ns()
        reply = await self.office.gateway.ask(self.request, self.options)
        how = _how(reply)
        told = shown(reply.verdict, reply.ledger_seq, reply.ledger_head)
        counts = _counts(begin, reply.prompt_tokens, reply.tokens)
        body = _head(model) | self.worded(reply.text) | {"done": True, "done_reason": how, "so8t": told} | counts
        return _json(body, verdict_headers(reply.verdict, reply.ledger_seq, reply.ledger_head))

    async def streamed(self, model: str) -> Response:
        stream = await self.office.gateway.stream(self.request, self.options)
        headers = verdict_headers(stream.verdict, stream.entry.seq, stream.entry.head)
        return StreamingResponse(self._lines(stream, model), 200, headers, "application/x-ndjson")

    async def _lines(self, stream: Stream, model: str) -> AsyncGenerator[bytes]:
        begin = time.perf_counter_ns()
        first = {"so8t": shown(stream.verdict, stream.entry.seq, stream.entry.head)}
        try:
            async with aclosing(stream.sentences) as sentences:
                async for sentence in sentences:
                    yield _line(_head(model) | self.worded(sentence) | {"done": False} | first)
                    first = {}
        except So8tError as error:
            yield _line(ollama_error(error))
            return
        answer = stream.answer
        assert answer is not None
        how = finish_reason(
            stream.verdict.decision, cut=not answer.stopped, withheld=bool(answer.withheld), failed=bool(answer.failed)
        )
        counts = _counts(begin, answer.prompt_tokens, answer.tokens)
        yield _line(_head(model) | self.worded("") | {"done": True, "done_reason": how} | counts)


def _turns(messages: object) -> list[Said]:
    if not isinstance(messages, list) or not messages:
        raise RecordInvalid(where="messages", detail="a list expected")
    found = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise RecordInvalid(where=where, detail=f"role: {' '.join(ROLES)}")
        if not isinstance(message.get("content"), str):
            raise RecordInvalid(where=where, detail="content: text expected")
        found.append(Said(message["role"], message["content"], _images(message.get("images"), where)))
    return found


def _images(images: object, where: str) -> tuple[Upload, ...]:
    """Base64 without a data: URL's head, as Ollama has it."""
    if images is None:
        return ()
    if not isinstance(images, list):
        raise RecordInvalid(where=where, detail="images: a list expected")
    return tuple(from_base64(image, f"{where}.images") for image in images)


def _how(reply: Reply) -> str:
    return finish_reason(
        reply.verdict.decision, cut=reply.cut, withheld=bool(reply.withheld), failed=bool(reply.failed)
    )


def _head(model: str) -> Json:
    return {"model": model, "created_at": datetime.now(UTC).isoformat()}


def _message(text: str) -> Json:
    return {"role": "assistant", "content": text}


def _counts(begin: int, prompt: int, made: int) -> Json:
    """Durations in nanoseconds; how the time divides between loading, reading and writing is not known here."""
    took = time.perf_counter_ns() - begin
    return {
        "total_duration": took, "load_duration": 0, "prompt_eval_count": prompt, "prompt_eval_duration": 0,
        "eval_count": made, "eval_duration": took,
    }  # fmt: skip


def _line(value: Json) -> bytes:
    return orjson.dumps(value) + b"\n"


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, "application/json")
