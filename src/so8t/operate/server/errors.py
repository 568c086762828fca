"""Errors as HTTP: one status for each class, and the shape that each kind of client understands."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from so8t.core import errors
from so8t.core.errors import So8tError

logger = logging.getLogger("so8t.serve")


class HttpError(So8tError):
    """What HTTP itself refuses; `status` is its answer."""

    code, status = "H00", 400
    ja, en = "この要求は受け付けられません", "the request cannot be accepted"
    next_ja, next_en = (
        "送ったものを確かめるか、管理者にお尋ねください",
        "check what was sent, or ask your administrator",
    )


class BodyTooLarge(HttpError):
    code, status = "H01", 413
    ja, en = "要求が大きすぎます", "the request is too large"
    next_ja, next_en = "短くするか、分けて送ってください", "shorten it or send it in parts"


class BodyTooSlow(HttpError):
    code, status = "H02", 408
    ja, en = "要求が時間内に届きませんでした", "the request did not arrive in time"


class ModelUnknown(HttpError):
    code, status = "H03", 404
    ja, en = "そのモデルはありません", "no such model"
    next_ja, next_en = "/v1/models の一覧から選んでください", "choose one from /v1/models"


class Busy(HttpError):
    code, status = "H04", 503
    ja, en = "混みあっています", "too busy"
    next_ja, next_en = "少し待って、もう一度お試しください", "wait a little and try again"


class NotOffered(HttpError):
    code, status = "H05", 403
    ja, en = "この入口からはできません", "not offered here"
    next_ja, next_en = "モデルの入れ替えは so8t deploy で行います", "models are changed with so8t deploy"


class HostUnknown(HttpError):
    code, status = "H06", 421
    ja, en = "このサーバの名前ではありません", "not a name of this server"
    next_ja, next_en = "serve.hosts に名前を加えてください", "add the name to serve.hosts"


class Crowded(HttpError):
    code, status = "H09", 429
    ja, en = "前の要求がまだ終わっていません", "earlier requests of yours are still at work"
    next_ja, next_en = "終わるのを待って、もう一度お試しください", "wait for them and try again"


_STATUS: tuple[tuple[type[So8tError], int], ...] = (
    (errors.NotIdentified, 401),
    (errors.TooManyAttempts, 429),
    (errors.NotPermitted, 403),
    (errors.ReviewClosed, 409),
    (errors.ToolUnapproved, 409),
    (errors.AgentUnknown, 404),
    (errors.ToolUnknown, 404),
    (errors.AccountInvalid, 400),
    (errors.AccountUnknown, 404),
    (errors.ProviderFailed, 502),
    (errors.AccessError, 503),
    (errors.DataError, 400),
    (errors.EmbeddingsMissing, 501),
    (errors.PackageMissing, 501),
    (errors.ReaderFailed, 503),
    (errors.BackendError, 502),
    (errors.LedgerError, 503),
)


def status_of(error: So8tError) -> int:
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_response(request: Request, error: Exception) -> Response:
    """What went wrong, for people and programs; nothing of the inside for what nobody foresaw."""
    if not isinstance(error, So8tError):
        logger.error("unforeseen %s on %s", type(error).__name__, request.url.path, exc_info=error)
        error = So8tError(detail="internal")
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if seconds := getattr(error, "seconds", 0):
        headers["retry-after"] = str(max(1, int(seconds)))
    body = ollama_error(error) if request.url.path.startswith("/api/") else openai_error(error, status)
    return Response(orjson.dumps(body), status, headers, "application/json")


def message(error: So8tError) -> str:
    """Both languages in one line: a client does not say which its user reads (read back by operate/office_wire.py)."""
    place = f" ({error.where})" if isinstance(error, errors.DataError) and error.where else ""
    detail = f": {error.detail}" if error.detail else ""
    return said(type(error)) + place + detail


def said(kind: type[So8tError]) -> str:
    return f"[{kind.code}] {kind.ja} / {kind.en}"


def openai_error(error: So8tError, status: int) -> dict[str, Any]:
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = error.where if isinstance(error, errors.RecordInvalid) else None
    return {"error": {"message": message(error), "type": kind, "param": param, "code": error.code}}


def ollama_error(error: So8tError) -> dict[str, Any]:
    return {"error": message(error)}
