"""Sessions of the console: a random cookie, stored hashed, with an idle and an absolute end.

The CSRF token is derived from the cookie's value by HMAC: whoever has only the database, or only a page of another
origin, knows neither. A login always makes a new session, so a planted cookie never becomes anybody's (OWASP ASVS 3.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from so8t.core.errors import NotIdentified, NotPermitted
from so8t.operate.identity.accounts import Accounts
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.identity.names import folded, normal_name
from so8t.operate.identity.store import Row, Store

MAX_EACH = 20  # sessions of one person; the longest unused gives way
TOKEN_LENGTH = 43
CLOCK_SLACK = 120.0  # a clock further back than this makes no old session young again
_COLUMNS = "id, owner, name, method, roles, clearance, groups, address, created, seen"


@dataclass(frozen=True, slots=True)
class Session:
    """A live session; `token` is the cookie's value, `method` how it began. `created` Unix seconds."""

    id: str
    identity: Identity
    method: str
    created: float
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """The synchroniser token for this session's forms."""
        digest = hmac.digest(self.token.encode(), b"so8t csrf 1", "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def require_csrf(self, given: str) -> None:
        """Raises NotPermitted unless the form came from a page of this session."""
        if not hmac.compare_digest(self.csrf.encode(), given.encode("utf-8", "surrogatepass")):
            raise NotPermitted(detail="CSRF")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What may be shown of a session. Times in Unix seconds."""

    id: str
    name: str
    method: str
    address: str
    created: float
    seen: float

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "name", "method", "address", "created", "seen")}


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a request needs of a session, remembered until anything changes. identity None = the account may not act."""

    shown: OpenSession
    identity: Identity | None


class Sessions:
    """`session_minutes` and `idle_minutes` as in IdentityConfig."""

    def __init__(
        self, store: Store, accounts: Accounts, session_minutes: float, idle_minutes: float,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store, self._accounts, self._now = store, accounts, now
        self._longest, self._idle = session_minutes * 60, idle_minutes * 60

    async def open(self, identity: Identity, address: str) -> Session:
        """A new session of somebody just identified. Raises what the ledger raises; then there is none."""
        token, identifier, now = secrets.token_urlsafe(32), secrets.token_hex(6), self._now()
        owner = folded(identity.name)
        text = [json.dumps(sorted(values), ensure_ascii=False) for values in (identity.roles, identity.groups)]
        standing = (text[0], identity.clearance, text[1])
        values = (identifier, _hash(token), owner, identity.name, identity.method, *standing, address[:64], now, now)

        def apply(db: apsw.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE created < ? OR seen < ?", (now - self._longest, now - self._idle))
            oldest = "SELECT id FROM sessions WHERE owner = ? ORDER BY seen DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM sessions WHERE id IN ({oldest})", (owner, MAX_EACH - 1))
            db.execute("INSERT INTO sessions VALUES(?,?,?,?,?,?,?,?,?,?,?)", values)

        body = {"actor": identity.name, "session": identifier, "method": identity.method, "address": address[:64]}
        await self._store.change("session_opened", body, apply)
        return Session(identifier, identity, identity.method, now, token)

    def find(self, token: str) -> Session:
        """The caller has refreshed the store. Raises NotIdentified for none, NotPermitted for a disabled account."""
        if len(token) != TOKEN_LENGTH or not token.isascii():
            raise NotIdentified(detail="session")
        digest, now = _hash(token), self._now()
        stored = self._store.remembered(("session", digest), lambda: self._load(digest))
        if stored is None:
            raise NotIdentified(detail="session")
        shown = stored.shown
        seen = max(shown.seen, self._store.touched("sessions", shown.id))
        if not (shown.created - CLOCK_SLACK <= now < min(shown.created + self._longest, seen + self._idle)):
            raise NotIdentified(detail=("ログインの期限が切れました", "the session has expired"))
        if stored.identity is None:
            raise NotPermitted(detail=("停止中の利用者です", "the account is disabled"))
        self._store.touch("sessions", shown.id, now)
        return Session(shown.id, stored.identity, shown.method, shown.created, token)

    async def close(self, identifier: str, by: str) -> None:
        """Log out. One that has ended already is no error."""

        def apply(db: apsw.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE id = ?", (identifier,))

        await self._store.change("session_closed", {"actor": by, "session": identifier}, apply)

    async def close_all(self, name: str, by: str) -> None:
        """Log out everywhere. Raises AccountInvalid for what is no name."""
        name = normal_name(name)

        def apply(db: apsw.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE owner = ?", (folded(name),))

        await self._store.change("sessions_closed", {"actor": by, "name": name}, apply)

    def list(self, name: str | None = None) -> list[OpenSession]:
        """Those that have not ended, the newest first."""
        now, wanted = self._now(), None if name is None else folded(name)
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM sessions WHERE created >= ? AND seen >= ? ORDER BY created DESC",
            now - self._longest, now - self._idle,
        )  # fmt: skip
        return [_shown(row) for row in rows if wanted in (None, row[1])]

    def _load(self, digest: bytes) -> _Stored | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM sessions WHERE hash = ?", digest)
        return None if row is None else _Stored(_shown(row), self._identity(row))

    def _identity(self, row: Row) -> Identity | None:
        """An account of ours may have changed since the login; what a directory said holds until the session ends."""
        _, _, name, method, roles, clearance, groups, *_ = row
        user = self._accounts.find(name)
        if method == "password":
            return None if user is None or user.disabled else user.identity("session")
        if user is not None and user.disabled:
            return None
        held = frozenset(map(Role, json.loads(roles)))
        return Identity(name, held, clearance, "session", frozenset(json.loads(groups)))


def _shown(row: Row) -> OpenSession:
    identifier, _, name, method, _, _, _, address, created, seen = row
    return OpenSession(identifier, name, method, address, created, seen)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
