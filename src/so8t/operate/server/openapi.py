"""The interfaces as an OpenAPI 3.1 document, served at /openapi.json; the tests attack the server with what it says."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from so8t.core.types import DECISIONS, Domain
from so8t.operate.gateway import MAX_QUERY
from so8t.operate.mail.order import Register
from so8t.operate.search.searching import MOST
from so8t.operate.server.office import MAX_STOP, MAX_STOPS
from so8t.operate.server.openai import MAX_TEXTS, ROLES
from so8t.operate.server.reviews import BASE

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
ERRORS = {"400": "invalid", "401": "not identified", "403": "not permitted", "404": "not there", "408": "too slow",
          "409": "closed", "413": "too large", "421": "another host", "429": "too many", "500": "unforeseen",
          "501": "not offered by this upstream", "502": "upstream",
          "503": "ledger, reader or server not ready"}  # fmt: skip


def routes() -> list[Route]:
    made = document()

    async def openapi(_: HttpRequest) -> Response:
        return JSONResponse(made)

    return [Route("/openapi.json", openapi, methods=["GET"])]


def document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {"title": "so8t", "version": "1", "description": "OpenAI- and Ollama-compatible, with verdicts."},
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Verdict": verdict(), "Error": {"type": "object"}},
        },
        "paths": {**_openai(), **_ollama(), **_own(), **_work(), **_agents(), **_health()},
    }


def verdict() -> Schema:
    """The field `so8t` of every answer."""
    return _object(
        {
            "decision": {"enum": [d.value for d in DECISIONS]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "policy_ref": _nullable(STRING),
            "escalation_target": _nullable(STRING),
            "domain": _nullable({"enum": [d.value for d in Domain]}),
            "request_id": STRING,
            "ledger": _object({"seq": {"type": "integer"}, "head": STRING}),
            "policy_digest": STRING,
            "payload_digest": STRING,
        }
    )


def _openai() -> Schema:
    content = {"oneOf": [_text(), {"type": "array", "items": {"oneOf": _parts()}, "minItems": 1, "maxItems": 16}]}
    message = _object({"role": {"enum": sorted(ROLES)}, "content": content}, required=True)
    chat = _object(
        {
            "model": STRING,
            "messages": {"type": "array", "items": message, "minItems": 1, "maxItems": 200},
            "stream": {"type": "boolean"},
            "stream_options": _object({"include_usage": {"type": "boolean"}}, required=False),
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1 << 20},
            "seed": {"type": "integer"},
            "stop": {"oneOf": [_stop(), {"type": "array", "items": _stop(), "maxItems": MAX_STOPS}]},
            "so8t": _told(),
        },
        required=("model", "messages"),
    )
    completion = _object(
        {
            "id": STRING,
            "object": {"const": "chat.completion"},
            "choices": {"type": "array", "minItems": 1, "maxItems": 1},
            "usage": {"type": "object"},
            "so8t": {"$ref": "#/components/schemas/Verdict"},
        }
    )
    texts = {"oneOf": [STRING, {"type": "array", "items": STRING, "minItems": 1, "maxItems": MAX_TEXTS}]}
    embed = _object({"model": STRING, "input": texts}, required=True)
    return {
        "/v1/models": {"get": _operation({"application/json": {"type": "object"}})},
        "/v1/chat/completions": {
            "post": _operation(
                {"application/json": completion, "text/event-stream": {"description": "chunks, then [DONE]"}}, chat
            )
        },
        "/v1/embeddings": {"post": _operation({"application/json": {"type": "object"}}, embed)},
    }


def _text() -> Schema:
    return {"type": "string", "maxLength": MAX_QUERY}


def _parts() -> list[Schema]:
    """What a message may be made of; an image or PDF lies in its data: URL."""
    url = {"type": "string", "pattern": "^data:"}
    return [
        _object({"type": {"const": "text"}, "text": _text()}),
        _object({"type": {"const": "image_url"}, "image_url": _object({"url": url})}),
        _object({"type": {"const": "file"}, "file": _object({"file_data": url})}),
    ]


def _images() -> Schema:
    return {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}, "maxItems": 16}


def _ollama() -> Schema:
    said = {"role": {"enum": ["system", "user", "assistant"]}, "content": STRING, "images": _images()}
    message = _object(said, ("role", "content"))
    options = _object(
        {
            "num_predict": {"type": "integer", "minimum": 1},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "seed": {"type": "integer"},
        },
        required=False,
    )
    common = {"model": STRING, "stream": {"type": "boolean"}, "options": options, "so8t": _told()}
    lines = {"application/json": {"type": "object"}, "application/x-ndjson": STRING}
    chat = _object({**common, "messages": {"type": "array", "items": message, "minItems": 1}}, ("model", "messages"))
    generate = _object({**common, "prompt": STRING, "system": STRING, "images": _images()}, ("model", "prompt"))
    plain = {"application/json": {"type": "object"}}
    return {
        "/api/chat": {"post": _operation(lines, chat)},
        "/api/generate": {"post": _operation(lines, generate)},
        "/api/embed": {"post": _operation(plain, _object({"model": STRING, "input": STRING}, required=True))},
        "/api/tags": {"get": _operation(plain)},
        "/api/version": {"get": _operation(plain)},
    }


def _own() -> Schema:
    number = {"type": "integer", "minimum": 1}
    seq = [{"name": "seq", "in": "path", "required": True, "schema": number}]
    before = [{"name": "before", "in": "query", "required": False, "schema": number}]
    decide = _object(
        {"decision": {"enum": ["ALLOW", "DENY"]}, "comment": STRING, "answer": STRING}, required=("decision",)
    )
    plain = {"application/json": {"type": "object"}}
    return {
        f"{BASE}/requests": {"get": _operation(plain), "parameters": before},
        f"{BASE}/requests/{{seq}}": {"get": _operation(plain), "parameters": seq},
        f"{BASE}/reviews": {"get": _operation(plain)},
        f"{BASE}/reviews/{{seq}}": {"get": _operation(plain), "post": _operation(plain, decide), "parameters": seq},
        f"{BASE}/reviews/{{seq}}/assign": {
            "post": _operation(plain, _object({"target": STRING}, required=True)), "parameters": seq,
        },
    }  # fmt: skip


def _work() -> Schema:
    """Office work and document search, images and recordings."""
    plain = {"application/json": {"type": "object"}}
    asked = {"query": STRING, "folders": {"type": "array", "items": STRING}}
    limit, stream = {"type": "integer", "minimum": 1, "maximum": MOST}, {"type": "boolean"}
    query, answer = _closed({**asked, "limit": limit}, ("query",)), _closed({**asked, "stream": stream}, ("query",))
    minutes = _closed(
        {
            "transcript": STRING,
            "title": STRING,
            "date": STRING,
            "classification": STRING,
            "words": {"type": "boolean"},
            "read": _object({"confidence": {"type": "number"}, "engine": STRING}, ("confidence",)),
        },
        ("transcript",),
    )
    mail = _closed(
        {
            "purpose": STRING, "to": {"type": "array", "items": STRING, "minItems": 1},
            "points": {"type": "array", "items": STRING}, "register": {"enum": [one.value for one in Register]},
            "sender": STRING, "reply": STRING, "classification": STRING, "words": {"type": "boolean"},
        },
        ("purpose", "to"),
    )  # fmt: skip
    asks = {"name": STRING, "question": STRING, "so8t": _told()}
    image = _closed({"image": STRING, "by": {"enum": ["ocr", "eyes"]}, **asks}, ("image",))
    audio = _closed({"audio": STRING, **asks}, ("audio",))
    return {
        f"{BASE}/search": {"post": _operation(plain, query)},
        f"{BASE}/search/state": {"get": _operation(plain)},
        f"{BASE}/answer": {"post": _operation(_streamed(), answer)},
        f"{BASE}/minutes": {"post": _operation(plain, minutes)},
        f"{BASE}/mail": {"post": _operation(plain, mail)},
        f"{BASE}/see": {"post": _operation(plain, image)},
        f"{BASE}/hear": {"post": _operation(plain, audio)},
        f"{BASE}/ledger/verify": {"get": _operation(plain)},
    }


def _agents() -> Schema:
    plain = {"application/json": {"type": "object"}}
    message = _object({"role": {"enum": sorted(ROLES)}, "content": STRING}, required=True)
    history = {"type": "array", "items": message}
    query = {"type": "string", "minLength": 1, "maxLength": MAX_QUERY}
    ask = _closed({"query": query, "history": history, "stream": {"type": "boolean"}}, ("query",))
    nothing = _object({}, required=False)
    call = _closed({"arguments": {"type": "object"}, "case": {"type": "integer", "minimum": 1}}, ("arguments",))
    digest = _object({"digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}, required=True)

    def named(*names: str) -> list[Schema]:
        word = {"type": "string", "pattern": r"^[A-Za-z0-9_-]{1,64}$"}
        return [{"name": name, "in": "path", "required": True, "schema": word} for name in names]

    tool = f"{BASE}/tools/{{server}}/{{tool}}"
    return {
        f"{BASE}/agents": {"get": _operation(plain)},
        f"{BASE}/agents/{{name}}/ask": {"post": _operation(_streamed(), ask), "parameters": named("name")},
        f"{BASE}/agents/{{name}}/tools/{{server}}/{{tool}}": {
            "post": _operation(plain, call), "parameters": named("name", "server", "tool"),
        },
        f"{BASE}/tools": {"get": _operation(plain)},
        f"{tool}/approve": {"post": _operation(plain, digest), "parameters": named("server", "tool")},
        f"{tool}/revoke": {"post": _operation(plain, nothing), "parameters": named("server", "tool")},
    }  # fmt: skip


def _health() -> Schema:
    return {
        "/healthz": {"get": _operation({"text/plain": STRING})},
        "/readyz": {"get": _operation({"application/json": {"type": "object"}})},
        "/metrics": {"get": _operation({"text/plain": STRING})},
    }


def _streamed() -> Schema:
    """An answer at once, or with `stream` as server-sent events: {"begin"}, {"sentence"} or {"notice"} each, and last
    {"end"}, which holds what is answered at once; or {"error"} in its place."""
    events = "begin, then sentence or notice each, then end (the whole as without stream) or error"
    return {"application/json": {"type": "object"}, "text/event-stream": {"description": events}}


def _operation(answers: Schema, body: Schema | None = None) -> Schema:
    content = {kind: {"schema": schema} for kind, schema in answers.items()}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    said = {status: {"description": why, "content": error} for status, why in ERRORS.items()}
    made: Schema = {"responses": {"200": {"description": "OK", "content": content}, **said}}
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def _told() -> Schema:
    """What a client may say about its request."""
    return _closed({"classification": STRING})


def _stop() -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": MAX_STOP}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Schema, required: bool | tuple[str, ...] = True) -> Schema:
    names = list(properties) if required is True else list(required or ())
    return {"type": "object", "properties": properties, "required": names}


def _closed(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    """An object in which a name that is not known here is refused."""
    return _object(properties, required) | {"additionalProperties": False}
