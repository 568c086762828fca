"""Reading what a client sends: bounded in bytes, in time and in depth, and nothing but a JSON object."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from so8t.core.errors import RecordInvalid
from so8t.operate.server.errors import BodyTooLarge, BodyTooSlow

MAX_BYTES = 2 << 20  # the longest request and history allowed, as JSON escapes
SECONDS = 30.0

Json = dict[str, Any]


async def read_json(request: Request, maximum: int = MAX_BYTES) -> Json:
    """The body as an object. Raises BodyTooLarge (413), BodyTooSlow (408), RecordInvalid (400)."""
    raw = await read_bytes(request, maximum)
    try:
        value = orjson.loads(raw)  # refuses bad UTF-8, lone surrogates, NaN, and more than 1,024 levels
    except ValueError as error:
        raise RecordInvalid(where="body", detail=str(error)[:200]) from error
    if not isinstance(value, dict):
        raise RecordInvalid(where="body", detail="a JSON object expected")
    return value


def flag(body: Json, name: str) -> bool:
    """Whether it is set; false where it is not there. Raises RecordInvalid."""
    value = body.get(name)
    if value not in (None, True, False):
        raise RecordInvalid(where=name, detail="true or false expected")
    return bool(value)


def only(body: Json, *names: str, where: str = "") -> None:
    """Raises RecordInvalid for a field that nothing reads: a misspelt classification must not count as none."""
    if unknown := sorted(body.keys() - set(names)):
        detail = (f"知らない項目です(読むのは {' '.join(names)})", f"unknown; read are {' '.join(names)}")
        raise RecordInvalid(where=f"{where}{unknown[0][:80]}", detail=detail)


async def read_bytes(request: Request, maximum: int, seconds: float | None = None) -> bytes:
    """`seconds`: shorter for those who are not known yet; a body that trickles holds one of the places."""
    seconds = SECONDS if seconds is None else seconds
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > maximum:
        raise BodyTooLarge(detail=f"> {maximum} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > maximum:
                    raise BodyTooLarge(detail=f"> {maximum} bytes")
    except TimeoutError:
        raise BodyTooSlow(detail=f"> {seconds:g} s") from None
    except ClientDisconnect:
        raise BodyTooSlow(detail="disconnected") from None
    return bytes(body)
