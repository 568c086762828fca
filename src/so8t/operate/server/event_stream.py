"""Server-sent events of one JSON object each; whatever happens after the first byte, the stream ends well-formed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import orjson
from starlette.responses import StreamingResponse

from so8t.core.errors import So8tError
from so8t.operate.server.body import Json
from so8t.operate.server.errors import openai_error, status_of

MEDIA_TYPE = "text/event-stream"


def event(value: Json) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def event_stream(events: AsyncGenerator[Json], told: Callable[[So8tError], Json] | None = None) -> StreamingResponse:
    """`told`: how an error reads that comes in place of the end; without it as in any other answer of ours."""
    return StreamingResponse(_well_formed(events, told or _told), 200, media_type=MEDIA_TYPE)


async def _well_formed(events: AsyncGenerator[Json], told: Callable[[So8tError], Json]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(events) as made:
            async for one in made:
                yield event(one)
    except So8tError as error:
        yield event(told(error))


def _told(error: So8tError) -> Json:
    return openai_error(error, status_of(error))
