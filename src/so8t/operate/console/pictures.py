"""Images of a request, for who decides on it and who audits it: each page anew as PNG, and each look in the ledger.

The file itself never reaches a browser: a crafted image would be decoded there with the reviewer's rights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from so8t.core.errors import RecordInvalid
from so8t.core.ledger_read import Stored
from so8t.operate.console.visit import Visit, number
from so8t.operate.intake.kept import TEXTS
from so8t.operate.senses.audio import container
from so8t.operate.senses.service import SOUND

HEADERS = {"content-security-policy": "default-src 'none'; sandbox", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One page beside what was read on it. `kept`: there is an image to show; doubtful: by the policy in force;
    sound: it is a recording, to be fetched and played elsewhere."""

    number: int
    page: int
    name: str
    text: str | None
    confidence: float
    engine: str
    doubtful: bool
    kept: bool
    sound: bool


def shown(visit: Visit, data: Mapping[str, Any], texts: Mapping[str, str]) -> list[Shown]:
    """The pages of an entry's attachments; text None where it was erased."""
    told = data.get("attachments") or []
    words = orjson.loads(texts[TEXTS]) if TEXTS in texts else None
    reading = visit.running.policy.policy.reading
    found = []
    for at, one in enumerate(told):
        said = dict(words[at][2]) if words is not None else {}
        name = words[at][0] if words is not None else ""
        for page in one["pages"]:
            text = said.get(page["page"]) if words is not None else None
            sure, engine, kept = page["confidence"], page["engine"], bool(one["sealed"]) and words is not None
            doubtful, sound = reading.doubts(sure, engine), one["media_type"] == SOUND
            found.append(Shown(at, page["page"], name, text, sure, engine, doubtful, kept, sound))
    return found


async def picture(visit: Visit, entry: Stored) -> Response:
    """The page that the address names, once it is written down who looks. Raises RecordInvalid, Busy, ReaderFailed."""
    at, page = (number(visit.http.path_params[name], name) for name in ("number", "page"))
    running = visit.running
    body = {"event": "image_read", "actor": visit.identity.name, "seq": entry.seq, "of": entry.actor, "number": at}
    await running.gateway.note("access", body)
    texts = await asyncio.to_thread(running.reader.texts, entry.seq)
    content = await asyncio.to_thread(running.gateway.kept.read, entry.data, texts, at)
    kind = str(entry.data["attachments"][at]["media_type"])
    if kind == SOUND:
        return _sound(content, entry.seq)
    if running.intake is None:
        raise RecordInvalid(where="serve.intake", detail="no images are shown here")
    return Response(await running.intake.picture(content, kind, page), 200, HEADERS, "image/png")


def _sound(content: bytes, seq: int) -> Response:
    """To be saved, never played in the page."""
    name = f'attachment; filename="recording-{seq}.{container(content[:16]) or "bin"}"'
    return Response(content, 200, {**HEADERS, "content-disposition": name}, "application/octet-stream")
