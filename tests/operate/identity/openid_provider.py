"""A real OpenID provider on loopback: discovery, authorisation code with PKCE, RS256/ES256/EdDSA tokens, JWKS.

Starlette under uvicorn in a thread, keys and signatures by joserfc. `lie` changes what it would honestly do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


@cache
def _keys() -> dict[str, Any]:
    """Made once: an RSA key takes a tenth of a second."""
    return {
        "RS256": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
        "ES256": ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}),
        "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"}),
    }


@dataclass
class Provider:
    """`claims`: what it says of the person; `lie`: hooks by name (see _token, _discovery)."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "taro", "groups": ["so8t-users"]})
    lie: dict[str, Any] = field(default_factory=dict)
    secret: str = "provider secret /+"
    asked: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    keys: dict[str, Any] = field(default_factory=lambda: dict(_keys()))

    @property
    def app(self) -> Starlette:
        routes = [
            Route("/realm/.well-known/openid-configuration", self._discovery),
            Route("/realm/authorize", self._authorize),
            Route("/realm/token", self._token, methods=["POST"]),
            Route("/realm/jwks", self._jwks),
        ]
        return Starlette(routes=routes)

    def browse(self, url: str) -> dict[str, str]:
        """What the browser would bring back: the person agrees."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.issuer}

    async def _discovery(self, request: Request) -> Response:
        self._note(request)
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return self.lie.get("answer") or JSONResponse({**found, **self.lie.get("discovery", {})})

    async def _authorize(self, request: Request) -> Response:
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(self.browse(str(request.url)))}")

    async def _jwks(self, request: Request) -> Response:
        self._note(request)
        keys = KeySet(list(self.keys.values())).as_dict(private=False)
        return JSONResponse({"keys": [*self.lie.get("first_keys", []), *keys["keys"]]})

    async def _token(self, request: Request) -> Response:
        self._note(request)
        form = {k: v[0] for k, v in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64decode(request.headers.get("authorization", "Basic ").split(" ")[1]).decode()
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if basic != "so8t:provider+secret+%2F%2B":
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        right = (
            asked is not None
            and challenge.rstrip("=") == asked["code_challenge"]
            and form["redirect_uri"] == asked["redirect_uri"]
        )
        if not right or asked is None:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        answer = {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": self._signed(asked)}
        return JSONResponse({**answer, **self.lie.get("token", {})})

    def _signed(self, asked: dict[str, str]) -> str:
        now = int(self.now())
        times = {"iat": now, "exp": now + 300}
        claims = {"iss": self.issuer, "sub": "7", "aud": "so8t", "nonce": asked["nonce"], **times, **self.claims}
        claims = {k: v for k, v in {**claims, **self.lie.get("claims", {})}.items() if v is not None}
        if sign := self.lie.get("sign"):
            return str(sign(claims))
        algorithm = self.lie.get("alg", "RS256")
        key = self.lie.get("key") or self.keys[algorithm]
        header = {"alg": algorithm, "kid": self.lie.get("kid", key.kid)}
        with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # the name EdDSA
            return jwt.encode(header, claims, key, algorithms=[algorithm])

    def _note(self, request: Request) -> None:
        self.asked.append(request.url.path.rpartition("/")[2])
        self.hosts.add(request.headers["host"])


def unsigned(claims: dict[str, Any]) -> str:
    """alg none (RFC 8725 2.1)."""
    return f"{_base64(json.dumps({'alg': 'none'}).encode())}.{_base64(json.dumps(claims).encode())}."


def with_public_key(provider: Provider) -> Callable[[dict[str, Any]], str]:
    """HS256 with the RSA public key's text as the secret."""
    key = provider.keys["RS256"].as_pem(private=False)

    def sign(claims: dict[str, Any]) -> str:
        head = _base64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
        signed = f"{head}.{_base64(json.dumps(claims).encode())}"
        return f"{signed}.{_base64(hmac.digest(key, signed.encode(), 'sha256'))}"

    return sign


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@contextmanager
def serving(app: Any, certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """The port where it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        files = {} if certificate is None else {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2, **files)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
