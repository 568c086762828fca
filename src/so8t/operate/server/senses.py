"""Eyes and ears over HTTP, for users.

POST /so8t/v1/see   {"image": base64 or data: URL, "by"?: "ocr" | "eyes", "name"?, "question"?, "so8t"?}
POST /so8t/v1/hear  {"audio": base64 or data: URL, "name"?, "question"?, "so8t"?}

The same fields may come as multipart/form-data, the image or recording as a file. Without a question: what was seen or
heard, with its confidence. With one: the answer besides, judged with that text as its material, like any request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from so8t.core.errors import RecordInvalid
from so8t.core.types import Attachment, Turn
from so8t.operate.answering import AnswerOptions
from so8t.operate.identity.identity import Identity
from so8t.operate.intake.intake import Said, marked_level, with_pages
from so8t.operate.intake.upload import Upload, content_of, upload
from so8t.operate.senses.service import Senses, heard, seen
from so8t.operate.server.body import Json, only, read_bytes, read_json
from so8t.operate.server.multipart import MULTIPART, parse
from so8t.operate.server.office import Office, shown, stated_level
from so8t.operate.server.reviews import BASE

WAYS = ("ocr", "eyes")
RECORDING, SEEN = "録音", "検出結果"
MAX_FIELD = 100_000  # bytes of a field that is no file


def routes(office: Office, senses: Senses) -> list[Route]:
    api = SensesApi(office, senses)
    return [
        Route(f"{BASE}/see", api.see, methods=["POST"]),
        Route(f"{BASE}/hear", api.hear, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class SensesApi:
    office: Office
    senses: Senses

    async def see(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body, content, name = await self._sent(http, "image", "by")
        image = upload(content, "image", name)
        way = body.get("by") or ("eyes" if self.senses.sees else "ocr")
        if way not in WAYS:
            raise RecordInvalid(where="by", detail=" / ".join(WAYS))
        if way == "ocr":
            told, attachment = await self._read(identity, image)
        else:
            sight = await self.senses.look(content)
            told, attachment = sight.to_json(), seen(sight, image.media_type, content, name or SEEN)
        return await self._answered(identity, body, told | {"by": way}, attachment, "seen")

    async def hear(self, http: HttpRequest) -> Response:
        identity = await self.office.identity(http)
        body, content, name = await self._sent(http, "audio")
        hearing = await self.senses.hear(content)
        least = self.office.gateway.judge.policy.reading.minimum_speech
        attachment = heard(hearing, content, name or RECORDING)
        return await self._answered(identity, body, hearing.to_json(least), attachment, "heard")

    async def _read(self, identity: Identity, image: Upload) -> tuple[Json, Attachment]:
        """By OCR, as an image of a request is."""
        if self.office.intake is None:
            raise RecordInvalid(where="by", detail="OCR is not installed here (so8t[ocr])")
        said = [Said("user", "", (image,))]
        _, (attachment,) = await self.office.intake.turns(identity.name, said, self.office.gateway.judge.policy)
        pages = [{"page": p.page, "text": p.text, "confidence": round(p.confidence, 4)} for p in attachment.pages]
        text = "\n".join(page.text for page in attachment.pages)
        return {"text": text, "confidence": round(attachment.confidence, 4), "pages": pages}, attachment

    async def _answered(
        self, identity: Identity, body: Json, told: Json, attachment: Attachment, event: str
    ) -> Response:
        policy = self.office.gateway.judge.policy
        doubtful = any(policy.reading.doubts(p.confidence, p.engine) for p in attachment.pages)
        told = told | {"doubtful": doubtful}
        question = body.get("question")
        if question is None:
            note = {"event": event, "actor": identity.name, "confidence": round(attachment.confidence, 4),
                    "engine": attachment.pages[0].engine, "bytes": len(attachment.content)}  # fmt: skip
            entry = await self.office.gateway.note("access", note)
            return _json(told | {"ledger": {"seq": entry.seq, "head": entry.head}})
        if not isinstance(question, str) or not question.strip():
            raise RecordInvalid(where="question", detail="text")
        levels = [marked_level(page.text, policy) for page in attachment.pages]
        text = with_pages(question, attachment.name, attachment.pages, levels)
        request = replace(self.office.request(identity, [Turn("user", text)], body), attachments=(attachment,))
        reply = await self.office.gateway.ask(request, AnswerOptions(self.office.maximum_tokens))
        return _json(told | {"answer": reply.text, "so8t": shown(reply.verdict, reply.ledger_seq, reply.ledger_head)})

    async def _sent(self, http: HttpRequest, field: str, *more: str) -> tuple[Json, bytes, str]:
        """(fields, content of the file, its name). Raises RecordInvalid, BodyTooLarge, BodyTooSlow."""
        most = self.senses.config.megabytes << 20
        told = http.headers.get("content-type", "")
        if told.partition(";")[0].strip().lower() == MULTIPART:
            body, content, name = _form(parse(told, await read_bytes(http, most, self.senses.config.seconds)), field)
        else:
            body = await read_json(http, most)
            name = body.get("name") or ""
            if not isinstance(name, str):
                raise RecordInvalid(where="name", detail="text")
            content = content_of(body.get(field), field)
        only(body, field, "name", "question", "so8t", *more)
        stated_level(body)  # also where nothing is asked that it would count for
        return body, content, name


def _form(parts: Any, field: str) -> tuple[Json, bytes, str]:
    fields: dict[str, Any] = {}
    content, name = b"", ""
    for part in parts:
        if part.name == field:
            content, name = part.content, part.filename
        elif part.filename or part.name in fields or len(part.content) > MAX_FIELD:
            raise RecordInvalid(where=part.name[:80], detail="one short field expected")
        else:
            fields[part.name] = part.content.decode("utf-8", "replace")
    if "classification" in fields:
        fields["so8t"] = {"classification": fields.pop("classification") or None}
    return _only_texts(fields), content, name


def _only_texts(fields: Mapping[str, Any]) -> Json:
    """A form's empty field is one that was left out."""
    return {name: value for name, value in fields.items() if value != ""}


def _json(value: Json) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
