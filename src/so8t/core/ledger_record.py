"""An append on its way into the ledger: encoded and sealed in the caller's thread, so that a bad one harms nobody."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.ledger_format import Entry, body_columns, body_front
from so8t.core.sealing import TextKey
from so8t.core.types import canonical_json


@dataclass(slots=True)
class Waiting:
    """An append that is not durable yet. `front` is its body up to the fields only the writer knows."""

    front: bytes
    kind: str
    decision: str | None = None
    request_id: str | None = None
    actor: str | None = None
    texts: tuple[tuple[str, bytes], ...] = ()
    erases: int | None = None
    future: Future[Entry] = field(default_factory=Future)


def encode(
    kind: str, body: Mapping[str, Any], text: Mapping[str, str], text_key: TextKey, refused: str = ""
) -> Waiting:
    """Raises RecordInvalid for what JSON, or a column that must not hold one of `refused`, cannot take."""
    try:
        data = dict(body)
        columns = {name: data.pop(name, None) for name in ("decision", "request_id", "actor")}
        decision, request_id, actor = (None if v is None else _plain(v, refused) for v in columns.values())
        texts, content = [], {}
        for name, value in text.items():
            digest, sealed = text_key.seal(_plain(value).encode())
            content[_plain(name, refused)] = digest.hex()
            texts.append((str(name), sealed))
        front = body_front(actor, content) + canonical_json(data) + body_columns(decision, kind, request_id)
        return Waiting(front.encode(), kind, decision, request_id, actor, tuple(texts))
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordInvalid(where="ledger", detail=f"{kind}: {error}") from error


def _plain(value: object, refused: str = "") -> str:
    """A str itself (also of a StrEnum); TypeError for anything else, ValueError for a refused character."""
    if not isinstance(value, str):
        raise TypeError(f"not a string: {type(value).__name__}")
    if refused and any(character in value for character in refused):
        raise ValueError("a character that the database cannot hold")
    return str(value)
