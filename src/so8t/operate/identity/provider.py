"""The connection to the OpenID provider: one literal address, no name server, no redirect, no proxy, bounded answers.

The certificate is checked against the issuer's host name, whatever address it is reached by (OidcConfig).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote_plus, urlsplit

import aiohttp
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey, import_key
from yarl import URL

from so8t.core.errors import ConfigValueInvalid, NotIdentified, ProviderFailed
from so8t.core.key_file import read_secret
from so8t.core.serve_config import OidcConfig

SECONDS = 10.0
MAX_ANSWER = 256 << 10
MAX_KEYS = 32
METADATA_SECONDS = 3600.0
REFRESH_SECONDS = 60.0  # a token with an unknown key id asks for the keys again, at most this often
DISCOVERY = "/.well-known/openid-configuration"
_WHERE = "serve.identity.oidc"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The endpoints a login needs, all on the issuer's own host (OpenID Connect Discovery 3)."""

    authorization: str
    token: str
    jwks: str


class Provider:
    """Raises ConfigValueInvalid for an issuer or address it must not speak to."""

    def __init__(self, config: OidcConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._issuer, self._address = _split("issuer", config.issuer), _split("address", config.address)
        _check_address(self._issuer, self._address)
        self._tls = _tls(config) if self._address.scheme == "https" else None
        self._secret = read_secret(config.secret_file, f"{_WHERE}.secret_file") if config.secret_file else ""
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._lock = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Read again every hour. Raises ProviderFailed."""
        async with self._lock:
            if self._metadata is None or self._clock() - self._metadata[0] >= METADATA_SECONDS:
                self._metadata = (self._clock(), await self._discover())
            return self._metadata[1]

    async def keys(self, newer_than: float | None = None) -> tuple[float, KeySet]:
        """The provider's signing keys and when they were read. With `newer_than`, read again if these are that old
        and a minute has passed. Raises ProviderFailed."""
        metadata = await self.metadata()
        async with self._lock:
            age = float("inf") if self._keys is None else self._clock() - self._keys[0]
            wanted = newer_than is not None and self._keys is not None and self._keys[0] <= newer_than
            if self._keys is None or age >= METADATA_SECONDS or (wanted and age >= REFRESH_SECONDS):
                self._keys = (self._clock(), _key_set(await self._ask("GET", metadata.jwks)))
            return self._keys

    async def exchange(self, form: str) -> dict[str, Any]:
        """The token endpoint's answer to an url-encoded form. Raises NotIdentified for a code that is not good,
        ProviderFailed."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._secret:  # RFC 6749 2.3.1
            pair = f"{quote_plus(self._config.client_id)}:{quote_plus(self._secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return await self._ask("POST", (await self.metadata()).token, headers, form)

    async def _discover(self) -> Metadata:
        found = await self._ask("GET", self._config.issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self._config.issuer:
            raise ProviderFailed(where=_WHERE, detail="issuer of the discovery document differs")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        return Metadata(*(self._own(name, found.get(name)) for name in names))

    def _own(self, name: str, value: object) -> str:
        """An endpoint must lie where the issuer does: nothing else is reached from here."""
        if not isinstance(value, str) or len(value) > 2048:
            raise ProviderFailed(where=_WHERE, detail=name)
        try:
            parts = urlsplit(value)
        except ValueError:
            raise ProviderFailed(where=_WHERE, detail=name) from None
        if (parts.scheme, parts.netloc.lower()) != (self._issuer.scheme, self._issuer.netloc.lower()) or parts.fragment:
            raise ProviderFailed(where=_WHERE, detail=f"{name} is not on the issuer's host")
        return value

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> dict[str, Any]:
        target = urlsplit(url)._replace(scheme=self._address.scheme, netloc=self._address.netloc).geturl()
        sent = {"Host": self._issuer.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(trust_env=False, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.request(
                    method, URL(target, encoded=True), headers={**sent, **(headers or {})}, data=body,
                    allow_redirects=False, ssl=self._tls if self._tls is not None else True,
                    server_hostname=self._issuer.hostname if self._tls is not None else None,
                ) as answer,
            ):  # fmt: skip
                raw = await _bounded(answer)
                if answer.status == 400 and _object(raw).get("error") == "invalid_grant":  # RFC 6749 5.2
                    raise NotIdentified(detail="OIDC code")
                if answer.status != 200:
                    raise ProviderFailed(where=_WHERE, detail=f"HTTP {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ProviderFailed(where=_WHERE, detail=type(error).__name__) from None
        return _object(raw)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for piece in answer.content.iter_chunked(16 << 10):
        raw += piece
        if len(raw) > MAX_ANSWER:
            raise ProviderFailed(where=_WHERE, detail=f"answer > {MAX_ANSWER} bytes")
    return bytes(raw)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderFailed(where=_WHERE, detail="answer: no JSON object")
    return value


def _key_set(answer: Mapping[str, Any]) -> KeySet:
    """Signing keys of the kinds we verify with; symmetric, short and other ones are left out."""
    given = answer.get("keys")
    if not isinstance(given, list) or len(given) > MAX_KEYS:
        raise ProviderFailed(where=_WHERE, detail=f"JWKS: 1 … {MAX_KEYS} keys")
    keys = [key for item in given if (key := _key(item)) is not None]
    if not keys:
        raise ProviderFailed(where=_WHERE, detail="JWKS: no usable key")
    return KeySet(keys)


def _key(item: object) -> Key | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or item.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # a short key is left out below
            key = import_key(item)
        if isinstance(key, RSAKey):
            return key if key.public_key.key_size >= 2048 else None
        if isinstance(key, ECKey | OKPKey):
            return key if key.curve_name in ("P-256", "Ed25519") else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _split(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ConfigValueInvalid(where=f"{_WHERE}.{name}", detail=f"{value!r}: https://…")
    return parts


def _check_address(issuer: SplitResult, address: SplitResult) -> None:
    try:
        found = ipaddress.ip_address(address.hostname or "")
    except ValueError:
        raise ConfigValueInvalid(where=f"{_WHERE}.address", detail="https://IP:PORT") from None
    if address.path not in ("", "/"):
        raise ConfigValueInvalid(where=f"{_WHERE}.address", detail="https://IP:PORT")
    if issuer.scheme != address.scheme:
        raise ConfigValueInvalid(where=f"{_WHERE}.address", detail="issuer and address: http or https, both the same")
    if address.scheme == "http" and not found.is_loopback:
        raise ConfigValueInvalid(where=f"{_WHERE}.address", detail="http only on this machine: https://IP:PORT")


def _tls(config: OidcConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigValueInvalid(where=f"{_WHERE}.ca_file", detail=type(error).__name__) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
