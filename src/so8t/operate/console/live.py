"""What our script is told while an answer is being written: the same events for every page that shows one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse

from so8t.core.types import Decision
from so8t.operate.console.page import SIGNS
from so8t.operate.server.errors import message
from so8t.operate.server.event_stream import MEDIA_TYPE, event_stream
from so8t.report.figures import DECISION_WORDS


def wanted(http: HttpRequest) -> bool:
    """Whether it is our script that asks; without it the same form leads to the same page."""
    return http.headers.get("accept") == MEDIA_TYPE


def live(events: AsyncGenerator[dict[str, Any]]) -> StreamingResponse:
    return event_stream(events, lambda error: {"error": message(error)})


def judged(decision: Decision, reference: str | None, seq: int, lang: str) -> dict[str, Any]:
    """The first event: the verdict and its place in the ledger."""
    words = DECISION_WORDS[decision.value].only(lang)
    sign, reference = SIGNS[decision.value], reference or ""
    return {"decision": decision.value, "sign": sign, "words": words, "reference": reference, "seq": seq}
