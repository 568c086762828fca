"""Request headers as identity reads them: one value a name, or none at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from so8t.core.errors import NotIdentified

MAX_CREDENTIAL = 512  # characters of an Authorization or x-api-key header
MAX_COOKIES = 8192
ONCE = frozenset({"authorization", "x-api-key", "cookie", "host"})


def read_headers(raw: Iterable[tuple[bytes, bytes]], once: frozenset[str] = ONCE) -> dict[str, str]:
    """ASGI's pairs as a mapping with lower-case names; a repeated header is joined as RFC 9110 5.3 says.

    Raises NotIdentified when one of `once` is repeated: two programs might each believe another one.
    """
    found: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        if name in found:
            if name in once:
                raise NotIdentified(detail=f"{name}: twice")
            value = f"{found[name]}, {value}"
        found[name] = value
    return found


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The API key of `Authorization: Bearer` or `x-api-key`; None when there is neither.

    Raises NotIdentified for another scheme, for both at once when they differ, and for one too long.
    """
    bearer, plain = headers.get("authorization"), headers.get("x-api-key")
    for given in (bearer, plain):
        if given is not None and len(given) > MAX_CREDENTIAL:
            raise NotIdentified(detail="API key")
    if bearer is None:
        return plain
    scheme, _, value = bearer.strip().partition(" ")
    value = value.strip()
    if scheme.lower() != "bearer" or not value or (plain is not None and plain != value):
        raise NotIdentified(detail="Authorization")
    return value


def cookie_value(headers: Mapping[str, str], name: str) -> str | None:
    """A cookie by its exact name. Raises NotIdentified when it stands there twice (cookie tossing)."""
    text = headers.get("cookie", "")
    if len(text) > MAX_COOKIES:
        raise NotIdentified(detail="Cookie")
    values = [
        value.strip() for key, _, value in (part.partition("=") for part in text.split(";")) if key.strip() == name
    ]
    if len(values) > 1:
        raise NotIdentified(detail=f"{name}: twice")
    return values[0] if values else None
