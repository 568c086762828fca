"""Every request -> an Identity, or an error. There is no anonymous mode.

Asked in this order: the reverse proxy's header, an API key, the console's cookie. The first that is there decides;
a bad one is never passed over for the next.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from argon2 import Parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from so8t.core.errors import NotIdentified, NotPermitted, TooManyAttempts, UsageError
from so8t.core.serve_config import IdentityConfig
from so8t.core.types import Levels
from so8t.operate.identity.accounts import Accounts
from so8t.operate.identity.attempts import Attempts
from so8t.operate.identity.groups import check_groups, standing
from so8t.operate.identity.headers import ONCE, cookie_value, presented_key, read_headers
from so8t.operate.identity.identity import Identity
from so8t.operate.identity.keys import Keys
from so8t.operate.identity.names import folded
from so8t.operate.identity.oidc import Oidc
from so8t.operate.identity.passwords import Passwords
from so8t.operate.identity.proxy import Asserted, Proxy
from so8t.operate.identity.request_rate import RequestRate
from so8t.operate.identity.sessions import Session, Sessions
from so8t.operate.identity.store import Record, Store


class Authenticator:
    """The whole of issue 6.2 behind identify(), login() and finish_oidc().

    `levels` gives the policy's levels in force; `record` makes a ledger entry of kind "access" durable or raises;
    `secure`: whether browsers come over TLS. `now` Unix seconds, `clock` monotonic seconds.

    Raises AccountsBroken, AccountsUnavailable, ConfigValueInvalid before anybody is let in.
    """

    def __init__(
        self, config: IdentityConfig, levels: Callable[[], Levels], record: Record, *, secure: bool,
        now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic,
        hashing: Parameters = RFC_9106_LOW_MEMORY,
    ) -> None:  # fmt: skip
        check_groups(config.groups, levels())
        self._config, self._levels, self._secure = config, levels, secure
        self._proxy = Proxy(config.proxy)
        self._oidc = Oidc(config.oidc, config.groups, levels, now, clock) if config.oidc.issuer else None
        self._attempts = Attempts(config.attempts, config.lock_minutes, clock)
        self._requests = RequestRate(config.requests_per_minute, clock)
        self._once = ONCE | self._proxy.once
        self._store = Store(Path(config.users), record)
        self._passwords = Passwords(hashing)
        self.accounts = Accounts(self._store, self._passwords, levels, now)
        self.keys = Keys(self._store, self.accounts, now)
        self.sessions = Sessions(self._store, self.accounts, config.session_minutes, config.idle_minutes, now)

    async def start(self) -> None:
        """Report to the ledger what `so8t users` changed while no server ran. Raises what the ledger raises."""
        await self._store.refresh()

    def close(self) -> None:
        self._passwords.close()
        self._store.close()

    def read(self, raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """ASGI's headers as identify() wants them. Raises NotIdentified for a repeated one that identifies."""
        return read_headers(raw, self._once)

    # -- every request --------------------------------------------------------------------------------------------

    async def identify(self, headers: Mapping[str, str], client_address: str) -> Identity:
        """Who sends a request. `headers` by lower-case name, from read(); `client_address` is the TCP peer's.

        Raises NotIdentified (401), NotPermitted (403), TooManyAttempts and its TooManyRequests (429, `seconds`);
        AccountsUnavailable, AccountsBroken and whatever the ledger raises (503).
        """
        await self._store.refresh()
        if self._store.flush_is_due:
            await self._store.flush()
        identity = await self._asserted(headers, client_address)
        if identity is None and (key := presented_key(headers)) is not None:
            identity = await self._by_key(key, client_address)
        if identity is None:
            session = self._by_cookie(headers)
            if session.method == "proxy":  # a cookie carried round the proxy shows nothing
                raise NotIdentified(detail="session")
            identity = session.identity
        if identity.clearance not in self._levels().names:
            raise NotPermitted(detail=f"clearance {identity.clearance!r}")
        self._requests.take(identity.name)
        return identity

    async def session(self, headers: Mapping[str, str], client_address: str) -> Session:
        """The console's session, for its CSRF token; identify() has been asked. Raises NotIdentified without one.

        Behind the proxy the session must be of the person the proxy names.
        """
        await self._store.refresh()
        session = self._by_cookie(headers)
        asserted = await self._asserted(headers, client_address)
        if asserted is None:
            theirs = session.method == "proxy"
        else:
            theirs = folded(asserted.name) != folded(session.identity.name)
        if theirs:
            raise NotIdentified(detail="session")
        return session

    # -- logging in and out ---------------------------------------------------------------------------------------

    async def login(self, name: str, password: str, client_address: str) -> Session:
        """Name and password -> a new session. Raises NotIdentified without saying which was wrong; TooManyAttempts."""
        await self._store.refresh()
        await self._verify(name, password, client_address)
        return await self.sessions.open(self.accounts.active(name).identity("password"), client_address)

    async def change_password(self, session: Session, old: str, new: str, client_address: str) -> None:
        """One's own, knowing the old one; all one's sessions end. Raises as login() does, and AccountInvalid."""
        name = session.identity.name
        await self._verify(name, old, client_address)
        await self.accounts.set_password(name, new, by=name)

    async def open_session(self, identity: Identity, client_address: str) -> Session:
        """A session for somebody the proxy identified, so that the console has a CSRF token. NotPermitted for others: a
        key must not outlive its revocation as a cookie."""
        if identity.method != "proxy":
            raise NotPermitted(detail=identity.method)
        return await self.sessions.open(identity, client_address)

    async def oidc_url(self, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and the Set-Cookie header that goes along. Raises UsageError when OIDC is off,
        ProviderFailed."""
        url, value = await self._provider().login_url(redirect_uri)
        return url, self._set_cookie(self._name("so8t-oidc"), value, "Lax", 600)

    async def finish_oidc(self, query: Mapping[str, str], headers: Mapping[str, str], client_address: str) -> Session:
        """The browser comes back from the provider -> a new session.

        Raises NotIdentified, NotPermitted (no group that is configured, a disabled account, or the name of an account
        that has a password here: that is somebody else), ProviderFailed.
        """
        await self._store.refresh()
        address = self._counted(client_address)
        self._attempts.check(None, address)
        try:
            cookie = cookie_value(headers, self._name("so8t-oidc")) or ""
            identity = await self._provider().finish(query, cookie)
            await self._store.refresh()
            user = self.accounts.find(identity.name)
            if user is not None and (user.disabled or user.has_password):
                raise NotPermitted(
                    detail=("停止中か、この機械だけの利用者です", "the account is disabled, or local to this machine")
                )
            if user is not None:  # one spelling of a name, by whichever way he comes
                identity = dataclasses.replace(identity, name=user.name)
        except (NotIdentified, NotPermitted) as error:
            await self._refused("oidc_refused", None, client_address, {"why": error.detail})
            raise
        return await self.sessions.open(identity, client_address)

    async def logout(self, session: Session) -> None:
        await self.sessions.close(session.id, by=session.identity.name)

    async def logout_everywhere(self, session: Session) -> None:
        await self.sessions.close_all(session.identity.name, by=session.identity.name)

    def set_cookie(self, session: Session) -> str:
        """A Set-Cookie header's value for a new session. SameSite=Strict: what follows a return from the provider must
        be a page of ours that goes on by itself, not a redirect, or the browser keeps the cookie back."""
        return self._set_cookie(self._name("so8t"), session.token, "Strict", int(self._config.session_minutes * 60))

    def clear_cookie(self) -> str:
        return self._set_cookie(self._name("so8t"), "", "Strict", 0)

    # -- how each way works ---------------------------------------------------------------------------------------

    async def _asserted(self, headers: Mapping[str, str], client_address: str) -> Identity | None:
        try:
            asserted = self._proxy.asserted(headers, client_address)
        except NotIdentified as error:
            self._attempts.check(None, self._counted(client_address))
            await self._refused("proxy_header_refused", None, client_address, {"why": error.detail})
            raise
        return None if asserted is None else self._standing(asserted)

    def _standing(self, asserted: Asserted) -> Identity:
        """An account of that name says roles and clearance; without one, the groups do; else NotPermitted."""
        if (user := self.accounts.find(asserted.name)) is not None:
            return self.accounts.active(user.name).identity("proxy")
        held = standing(asserted.groups, self._config.groups, self._levels())
        return Identity(folded(asserted.name), held.roles, held.clearance, "proxy", held.groups)

    async def _by_key(self, presented: str, client_address: str) -> Identity:
        """While an address waits for its guesses, only keys that were right before are looked at."""
        address = self._counted(client_address)
        if (seconds := self._attempts.wait(None, address)) and not self.keys.was_good(presented):
            raise TooManyAttempts(seconds)
        try:
            return self.keys.verify(presented)
        except NotIdentified:
            await self._refused("key_refused", None, client_address, {"key": self.keys.identifier(presented)})
            raise

    def _by_cookie(self, headers: Mapping[str, str]) -> Session:
        token = cookie_value(headers, self._name("so8t"))
        if token is None:
            raise NotIdentified()
        return self.sessions.find(token)

    async def _verify(self, name: str, password: str, client_address: str) -> None:
        """Raises NotIdentified, TooManyAttempts. A right password before its time is not even looked at."""
        user = self.accounts.find(name)
        key = folded(name[:64] if user is None else user.name)[:64]
        address = self._counted(client_address)
        self._attempts.begin(key, address)
        stored = self.accounts.stored_password(name)
        found = await self._passwords.verify(stored, password)
        await self._store.refresh()
        user = self.accounts.find(name)  # all of it may have changed while the hash was reckoned
        if not found.right or user is None or user.disabled or self.accounts.stored_password(name) != stored:
            # The name only of somebody who exists: people type passwords into the wrong field.
            known = {"name": None if user is None else user.name}
            await self._recorded_refusal("login_refused", key, client_address, known)
            raise NotIdentified(detail=("名前かパスワードが違います", "wrong name or password"))
        self._attempts.succeeded(key, address)
        if found.renewed is not None and stored is not None:
            await self.accounts.renew_hash(user.name, stored, found.renewed)

    async def _refused(self, event: str, name: str | None, client_address: str, body: Mapping[str, object]) -> None:
        """Count what is no password attempt, then record it."""
        self._attempts.begin(name, self._counted(client_address) or client_address)
        await self._recorded_refusal(event, name, client_address, body)

    async def _recorded_refusal(
        self, event: str, name: str | None, client_address: str, body: Mapping[str, object]
    ) -> None:
        """A refusal, and the lock it may have begun. What a lock refuses is not recorded: no flood."""
        address = client_address[:64]
        await self._store.note(event, {"actor": None, "address": address, **body})
        if locked := self._attempts.locked(name, self._counted(client_address)):
            minutes = self._config.lock_minutes
            await self._store.note(
                "locked", {"actor": None, "address": address, **body, "by": locked, "minutes": minutes}
            )

    def _counted(self, client_address: str) -> str | None:
        """The address whose guesses are counted; the pinned proxy's is everybody's, so it is not."""
        return None if self._proxy.is_pinned(client_address) else client_address

    def _provider(self) -> Oidc:
        if self._oidc is None:
            raise UsageError(where="serve.identity.oidc.issuer", detail="OIDC")
        return self._oidc

    def _name(self, plain: str) -> str:
        """__Host-: from this host alone, whole site, over TLS alone (RFC 6265bis 4.1.3.2)."""
        return f"__Host-{plain}" if self._secure else plain

    def _set_cookie(self, name: str, value: str, same_site: str, seconds: int) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"
