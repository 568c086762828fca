"""An ID token -> its claims, or NotIdentified (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError, SecurityWarning
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from so8t.core.errors import NotIdentified

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")  # the last two are one algorithm (RFC 9864)
MAX_TOKEN = 16 << 10
LEEWAY = 60  # seconds that the two clocks may differ


class UnknownKey(Exception):
    """Signed with a key id that is not in the set: the provider may have changed its keys."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What this login's token must say."""

    issuer: str
    client_id: str
    nonce: str


def verified_claims(
    token: object, keys: KeySet, expected: Expected, now: float, access_token: str | None = None
) -> Mapping[str, Any]:
    """Signature by one of `keys` and nothing else, then issuer, audience, time and nonce.

    Raises UnknownKey, NotIdentified (which says the claim, never the token).
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise NotIdentified(detail="ID token")
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # the name EdDSA is old, the algorithm is sound
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS, registry=registry)
    except InvalidKeyIdError:
        raise UnknownKey from None
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotIdentified(detail=f"ID token: {getattr(error, 'error', '') or type(error).__name__}") from None
    options = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.client_id},
    }
    params = {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": access_token}
    claims = CodeIDToken(decoded.claims, decoded.header, options, params)
    try:
        claims.validate(now=int(now), leeway=LEEWAY)
    except (JoseError, ValueError, TypeError) as error:
        raise NotIdentified(detail=f"ID token: {getattr(error, 'error', '') or type(error).__name__}") from None
    return dict(claims)
