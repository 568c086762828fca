"""Errors as pages: what went wrong, where, and what to do next. Programs get the JSON that they get everywhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response

from so8t.core.errors import DataError, NotIdentified, So8tError
from so8t.operate.console import page
from so8t.operate.console.visit import LOGIN, here, language
from so8t.operate.server.errors import error_response, status_of

logger = logging.getLogger("so8t.serve")
Endpoint = Callable[[HttpRequest], Awaitable[Response]]


def guarded(endpoint: Endpoint) -> Endpoint:
    """The same endpoint, whose errors a browser can show. Who is not logged in is led to the door, and back later."""

    async def answered(http: HttpRequest) -> Response:
        try:
            return await endpoint(http)
        except So8tError as error:
            return fault(http, error)
        except Exception as error:
            if wants_page(http):
                logger.error("unforeseen %s on %s", type(error).__name__, http.url.path, exc_info=error)
                return fault(http, So8tError(detail="internal"))
            raise

    return answered


def wants_page(http: HttpRequest) -> bool:
    return "text/html" in http.headers.get("accept", "")


def fault(http: HttpRequest, error: So8tError) -> Response:
    if not wants_page(http):
        return error_response(http, error)
    if isinstance(error, NotIdentified) and http.method == "GET":
        return RedirectResponse(f"{LOGIN}?next={quote(here(http), safe='')}", 303)
    status = status_of(error)
    where = error.where if isinstance(error, DataError) else ""
    answer = page.page("error", language(http), status, error=error, number=status, where=where, here=here(http))
    if seconds := getattr(error, "seconds", 0):
        answer.headers["retry-after"] = str(max(1, int(seconds)))
    return answer
