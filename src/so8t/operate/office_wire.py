"""A running so8t server asked as one of its users: what it refused is raised here as what it was there.

Its errors name their class by code and say it in two languages (server/errors.py). Where this version knows the class,
the user reads it in his own language with what to do next, as if the server were this very program.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import orjson

from so8t.ask.wire import Wire
from so8t.core.errors import BackendError, OfficeDown, OfficeRefused, So8tError
from so8t.operate.server.errors import said

LONGEST = 500  # characters of what the server says


class OfficeWire(Wire):
    """A Wire whose errors are the server's own."""

    down: ClassVar[type[BackendError]] = OfficeDown

    def refusal(self, path: str, status: int, content: bytes) -> So8tError:
        told = raised_there(content)
        if told is not None:
            return told
        refused = super().refusal(path, status, content)
        return OfficeRefused(where=refused.where, detail=refused.detail)


def raised_there(content: bytes) -> So8tError | None:
    """The error that an answer's body tells of; None for what is none of ours, or of another version's."""
    try:
        error = orjson.loads(content)["error"]
        code, message = error["code"], error["message"]
    except (ValueError, TypeError, KeyError):
        return None
    kind = _kinds().get(code) if isinstance(code, str) and isinstance(message, str) else None
    if kind is None or not message.startswith(said(kind)):
        return None
    plain = "".join(c if c.isprintable() else "\ufffd" for c in message.removeprefix(said(kind))[:LONGEST])
    return kind(detail=plain.removeprefix(":").strip())


@cache
def _kinds() -> dict[str, type[So8tError]]:
    """Of two with one code, the one above. Those of HTTP are among them: the server's errors.py is imported."""
    made = dict[str, type[So8tError]]()
    for kind in _below(So8tError):
        made.setdefault(kind.code, kind)
    return made


def _below(kind: type[So8tError]) -> Iterator[type[So8tError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)
