"""The routes of every skin in one ASGI application, behind one guard."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from so8t.core.errors import So8tError
from so8t.operate.server import ollama, openai, openapi
from so8t.operate.server.errors import HttpError, error_response
from so8t.operate.server.guard import Guard
from so8t.operate.server.office import Office


class NotFoundHere(HttpError):
    code, status = "H07", 404
    ja, en = "そのページはありません", "nothing is here"
    next_ja, next_en = (
        "アドレスを確かめるか、最初のページからお入りください",
        "check the address, or begin at the first page",
    )


class MethodUnknown(HttpError):
    code, status = "H08", 405
    ja, en = "その方法では呼べません", "not by this method"
    next_ja, next_en = "/openapi.json で呼び方を確かめてください", "see /openapi.json for how it is called"


def application(
    office: Office, more: Sequence[BaseRoute] = (), *, hosts: Collection[str], concurrent: int = 100, each: int = 0
) -> Guard:
    """`more`: routes of health, metrics and the console."""
    routes = [*openai.routes(office), *ollama.routes(office), *openapi.routes(), *more]
    handlers = {So8tError: _known, HTTPException: _http, Exception: _unforeseen}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), hosts, concurrent, each)


async def _known(request: Request, error: Exception) -> Response:
    return error_response(request, error)


async def _http(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    status = getattr(error, "status_code", 400)
    kind = {404: NotFoundHere, 405: MethodUnknown}.get(status, HttpError)
    response = error_response(request, kind(detail=request.url.path[:200]))
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _unforeseen(request: Request, error: Exception) -> Response:
    return error_response(request, error)
