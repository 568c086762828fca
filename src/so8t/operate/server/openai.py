"""OpenAI's interface: /v1/models, /v1/chat/completions and /v1/embeddings, so that a client only changes its address.

Source: OpenAI's API reference. What is added: the field `so8t` in the answer (in a stream, in its first chunk) and the
headers x-so8t-*. A request that is refused or handed over is a normal answer that says so, with finish_reason
"content_filter". Images and PDFs are read where they come with the message, as data: URLs: nothing is fetched. Tools,
several choices and log-probabilities are not offered and are an error, not ignored.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from so8t.core.errors import RecordInvalid, So8tError
from so8t.core.types import Reply
from so8t.operate.gateway import Stream
from so8t.operate.intake.intake import Said
from so8t.operate.intake.upload import Upload, from_part
from so8t.operate.server.body import Json, flag, read_json
from so8t.operate.server.errors import openai_error, status_of
from so8t.operate.server.event_stream import MEDIA_TYPE, event
from so8t.operate.server.office import Office, finish_reason, shown, verdict_headers

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MAX_TEXTS = 64
NOT_OFFERED = ("tools", "functions", "logprobs", "audio", "prediction", "response_format")


def routes(office: Office) -> list[Route]:
    api = OpenAi(office)
    return [
        Route("/v1/models", api.models, methods=["GET"]),
        Route("/v1/models/{model:path}", api.one_model, methods=["GET"]),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/embeddings", api.embeddings, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class OpenAi:
    office: Office

    async def models(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        return _json({"object": "list", "data": [self._model(name) for name in self.office.models(identity)]})

    async def one_model(self, http: HttpRequest) -> Response:
        await self.office.identity(http)
        return _json(self._model(self.office.known(http.path_params["model"])))

    async def chat(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http, self.office.longest)
        model = self.office.known(body.get("model"))
        _refuse_unoffered(body)
        request = await self.office.asked(identity, turns(body.get("messages")), body)
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        options = self.office.options(
            limit, body.get("temperature"), body.get("top_p"), body.get("seed"), body.get("stop")
        )
        request = await self.office.prepared(identity, request)
        if flag(body, "stream"):
            usage = _wants_usage(body.get("stream_options") or {})
            stream = await self.office.gateway.stream(request, options)
            headers = verdict_headers(stream.verdict, stream.entry.seq, stream.entry.head)
            return StreamingResponse(_events(stream, model, usage), 200, headers, MEDIA_TYPE)
        reply = await self.office.gateway.ask(request, options)
        return _json(_completion(reply, model), verdict_headers(reply.verdict, reply.ledger_seq, reply.ledger_head))

    async def embeddings(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body = await read_json(http)
        model = self.office.known(body.get("model"))
        if body.get("encoding_format", "float") not in ("float", None):
            raise RecordInvalid(where="encoding_format", detail="float expected")
        vectors = await self.office.gateway.embed(identity.name, texts(body.get("input")))
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        return _json({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 0, "total_tokens": 0}})

    def _model(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": self.office.created, "owned_by": "so8t"}


def turns(messages: object) -> list[Said]:
    """OpenAI's messages as turns of text and images. Raises RecordInvalid for anything else."""
    if not isinstance(messages, list) or not messages:
        raise RecordInvalid(where="messages", detail="a list expected")
    return [_turn(message, f"messages[{number}]") for number, message in enumerate(messages)]


def _turn(message: object, where: str) -> Said:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(role, str) or role not in ROLES:
        raise RecordInvalid(where=where, detail=f"role: {' '.join(ROLES)}")
    content = message.get("content")
    parts = [_part(part, where) for part in content] if isinstance(content, list) else [content]
    texts_, uploads = [p for p in parts if not isinstance(p, Upload)], [p for p in parts if isinstance(p, Upload)]
    if not all(isinstance(text, str) for text in texts_):
        raise RecordInvalid(where=where, detail="content: text expected")
    return Said(ROLES[role], "\n".join(texts_), tuple(uploads))  # type: ignore[arg-type]


def _part(part: object, where: str) -> str | Upload:
    if isinstance(part, dict):
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return str(part["text"])
        if (found := from_part(part, where)) is not None:
            return found
    raise RecordInvalid(where=where, detail="only parts of type text, image_url and file are read")


def texts(value: object) -> list[str]:
    """The input of an embedding: a string, or a list of them."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not 0 < len(found) <= MAX_TEXTS or not all(isinstance(t, str) for t in found):
        raise RecordInvalid(where="input", detail=f"1 to {MAX_TEXTS} strings expected")
    return found


def _refuse_unoffered(body: Json) -> None:
    for name in NOT_OFFERED:
        if body.get(name) and not (name == "response_format" and body[name] == {"type": "text"}):
            raise RecordInvalid(where=name, detail="not offered")
    if body.get("n") not in (None, 1):
        raise RecordInvalid(where="n", detail="1 expected")


def _wants_usage(options: object) -> bool:
    if not isinstance(options, dict):
        raise RecordInvalid(where="stream_options", detail="an object expected")
    return flag(options, "include_usage")


def _completion(reply: Reply, model: str) -> Json:
    how = finish_reason(reply.verdict.decision, cut=reply.cut, withheld=bool(reply.withheld), failed=bool(reply.failed))
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": f"chatcmpl-{reply.verdict.request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": how, "logprobs": None}],
        "usage": _usage(reply.prompt_tokens, reply.tokens),
        "so8t": shown(reply.verdict, reply.ledger_seq, reply.ledger_head),
    }


async def _events(stream: Stream, model: str, usage: bool) -> AsyncGenerator[bytes]:
    """Server-sent events. Whatever happens after the first byte, the stream ends well-formed."""
    head = {
        "id": f"chatcmpl-{uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time()), "model": model,
    }  # fmt: skip
    first = {"so8t": shown(stream.verdict, stream.entry.seq, stream.entry.head)}
    yield event(head | _delta({"role": "assistant", "content": ""}) | first)
    try:
        async with aclosing(stream.sentences) as sentences:
            async for sentence in sentences:
                yield event(head | _delta({"content": sentence}))
    except So8tError as error:
        yield event(openai_error(error, status_of(error)))
        return
    answer = stream.answer
    assert answer is not None
    how = finish_reason(
        stream.verdict.decision, cut=not answer.stopped, withheld=bool(answer.withheld), failed=bool(answer.failed)
    )
    yield event(head | _delta({}, how))
    if usage:
        yield event(head | {"choices": [], "usage": _usage(answer.prompt_tokens, answer.tokens)})
    yield b"data: [DONE]\n\n"


def _delta(delta: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}


def _usage(prompt: int, made: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, "application/json")
