"""Logging in with the company's OpenID provider: authorisation code with PKCE, state and nonce (RFC 6749, 7636, 9700).

One random value in a signed, short-lived cookie is all that a login leaves: state, nonce and code verifier are derived
from it, so nothing waits in memory and nobody else's browser can finish the login. A state is good once.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from so8t.core.errors import AccountInvalid, NotIdentified, ProviderFailed
from so8t.core.serve_config import GroupConfig, OidcConfig
from so8t.core.types import Levels
from so8t.operate.identity.groups import standing
from so8t.operate.identity.id_token import Expected, UnknownKey, verified_claims
from so8t.operate.identity.identity import Identity
from so8t.operate.identity.names import folded, normal_name
from so8t.operate.identity.provider import Provider

LOGIN_SECONDS = 600.0
MAX_USED = 10_000
MAX_VALUE = 4096
SCOPE = "openid profile email"


@dataclass(frozen=True, slots=True)
class _Login:
    """One login under way; all from its secret."""

    secret: str = field(repr=False)
    redirect_uri: str
    expires: float

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        return self._derived("verifier")

    def _derived(self, what: str) -> str:
        return _base64(hmac.digest(self.secret.encode(), b"so8t oidc " + what.encode(), "sha256"))


class Oidc:
    """`groups` say what a group of the directory means here; `now` is Unix seconds."""

    def __init__(
        self, config: OidcConfig, groups: Sequence[GroupConfig], levels: Callable[[], Levels],
        now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._config, self._groups, self._levels, self._now = config, groups, levels, now
        self._provider = Provider(config, clock)
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[str, float] = OrderedDict()

    async def login_url(self, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and the value of the state cookie (HttpOnly, SameSite=Lax, ten minutes).

        Raises ProviderFailed.
        """
        login = _Login(secrets.token_urlsafe(32), redirect_uri, self._now() + LOGIN_SECONDS)
        endpoint = (await self._provider.metadata()).authorization
        url: str = prepare_grant_uri(
            endpoint, self._config.client_id, "code", redirect_uri=redirect_uri, scope=SCOPE, state=login.state,
            nonce=login.nonce, code_challenge=create_s256_code_challenge(login.verifier), code_challenge_method="S256",
        )  # fmt: skip
        return url, self._sealed(login)

    async def finish(self, query: Mapping[str, str], cookie: str) -> Identity:
        """The provider's answer to the browser -> who it is.

        Raises NotIdentified for anything that is not exactly this browser's login, NotPermitted when no group of theirs
        is configured, ProviderFailed.
        """
        login = self._opened(cookie)
        if not hmac.compare_digest(login.state.encode(), query.get("state", "").encode("utf-8", "surrogatepass")):
            raise NotIdentified(detail="OIDC state")
        self._use(login)
        if query.get("error"):
            raise NotIdentified(detail="OIDC: refused by the provider")
        if query.get("iss", self._config.issuer) != self._config.issuer:  # RFC 9207
            raise NotIdentified(detail="OIDC iss")
        code = query.get("code", "")
        if not 0 < len(code) <= MAX_VALUE:
            raise NotIdentified(detail="OIDC code")
        return self._identity(await self._claims(login, code))

    async def _claims(self, login: _Login, code: str) -> Mapping[str, Any]:
        form: str = prepare_token_request(
            "authorization_code", redirect_uri=login.redirect_uri, code=code, code_verifier=login.verifier,
            client_id=self._config.client_id,
        )  # fmt: skip
        answer = await self._provider.exchange(form)
        token, access = answer.get("id_token"), answer.get("access_token")
        if str(answer.get("token_type", "")).lower() != "bearer" or not isinstance(access, str):
            raise ProviderFailed(where="serve.identity.oidc", detail="token_type, access_token")
        expected = Expected(self._config.issuer, self._config.client_id, login.nonce)
        read, keys = await self._provider.keys()
        try:
            return verified_claims(token, keys, expected, self._now(), access)
        except UnknownKey:
            _, keys = await self._provider.keys(newer_than=read)
        try:
            return verified_claims(token, keys, expected, self._now(), access)
        except UnknownKey:
            raise NotIdentified(detail="ID token: kid") from None

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        raw, groups = claims.get(self._config.name_claim), claims.get(self._config.groups_claim, [])
        groups = [groups] if isinstance(groups, str) else groups
        if not isinstance(raw, str) or not isinstance(groups, list):
            raise NotIdentified(detail=f"claims {self._config.name_claim}, {self._config.groups_claim}")
        try:
            name = folded(normal_name(raw))
        except AccountInvalid as error:
            raise NotIdentified(detail=error.detail) from None
        held = standing([g for g in groups if isinstance(g, str)], self._groups, self._levels())
        return Identity(name, held.roles, held.clearance, "oidc", held.groups)

    def _use(self, login: _Login) -> None:
        now = self._now()
        while self._used and (len(self._used) >= MAX_USED or next(iter(self._used.values())) <= now):
            self._used.popitem(last=False)
        if login.state in self._used:
            raise NotIdentified(detail="OIDC state: used")
        self._used[login.state] = login.expires

    def _sealed(self, login: _Login) -> str:
        body = _base64(json.dumps([login.secret, login.redirect_uri, login.expires]).encode())
        return f"{body}.{self._mac(body)}"

    def _opened(self, cookie: str) -> _Login:
        body, _, mac = cookie.partition(".")
        if len(cookie) > MAX_VALUE or not hmac.compare_digest(self._mac(body).encode(), mac.encode("utf-8", "replace")):
            raise NotIdentified(detail="OIDC cookie")
        login = _Login(*json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
        if not login.expires - LOGIN_SECONDS - 60 <= self._now() < login.expires:
            raise NotIdentified(detail=("OIDC: 時間切れです", "OIDC: expired"))
        return login

    def _mac(self, body: str) -> str:
        return _base64(hmac.digest(self._key, body.encode("utf-8", "replace"), "sha256"))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
