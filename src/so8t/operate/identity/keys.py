"""API keys: `so8t_ID_SECRET`. The secret is 256 random bits, shown once and stored as SHA-256.

A slow hash guards what people choose; nobody guesses 256 bits, so one fast hash is enough. A key has roles not above
its owner's, now and later, and his clearance.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import apsw

from so8t.core.errors import AccountInvalid, AccountUnknown, NotIdentified, NotPermitted
from so8t.operate.identity.accounts import MAX_DISPLAY, Accounts
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.identity.names import folded, normal_name
from so8t.operate.identity.store import Row, Store

MAX_KNOWN = 4096
DAYS = 365.0
_FORM = re.compile(r"so8t_([0-9a-f]{16})_([0-9A-Za-z_-]{43})")
_COLUMNS = "id, owner, label, roles, created, expires, used, revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key. Times in Unix seconds; `used` is at most a minute behind."""

    id: str
    owner: str
    label: str
    roles: frozenset[Role]
    created: float
    expires: float | None
    used: float | None
    revoked: float | None

    def to_json(self) -> dict[str, Any]:
        fields = ("id", "owner", "label", "created", "expires", "used", "revoked")
        return {**{name: getattr(self, name) for name in fields}, "roles": sorted(self.roles)}


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. `secret` is the whole text to send; it is nowhere else and not in the repr."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """What verification needs of a key, remembered until anything changes. identity None = its owner may not act."""

    key: ApiKey
    hash: bytes = field(repr=False)
    identity: Identity | None


class Keys:
    """Issue, revoke, verify."""

    def __init__(self, store: Store, accounts: Accounts, now: Callable[[], float] = time.time) -> None:
        self._store, self._accounts, self._now = store, accounts, now
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def issue(
        self, owner: str, *, by: str, roles: Collection[Role] = (Role.USER,), label: str = "", days: float = DAYS
    ) -> IssuedKey:
        """A key for an account; days 0 = without end. Raises AccountUnknown, AccountInvalid for roles he has not."""
        user = self._accounts.get(owner)
        wanted = frozenset(roles)
        if not wanted or not wanted <= user.roles:
            held = " ".join(sorted(user.roles))
            raise AccountInvalid(
                detail=(f"キーの役割は持ち主の役割から: {held}", f"a key has roles of its owner: {held}")
            )
        if not 0 <= days <= 36_500:
            raise AccountInvalid(detail=("日数は 0 〜 36500", "days: 0 to 36500"))
        label = normal_name(label, MAX_DISPLAY) if label else ""
        issued = _new()
        expires = self._now() + days * 86_400 if days else None
        values = (issued.id, folded(user.name), _hash(issued.secret), json.dumps(sorted(wanted)), label, self._now())
        body = {"actor": by, "name": user.name, "key": issued.id, "roles": sorted(wanted), "label": label}

        def apply(db: apsw.Connection) -> None:
            db.execute("INSERT INTO keys VALUES(?,?,?,?,?,?,?,NULL,NULL)", (*values, expires))

        await self._store.change("key_issued", {**body, "expires": expires}, apply)
        return issued

    async def revoke(self, identifier: str, by: str) -> ApiKey:
        """It is refused from the next request on. Raises AccountUnknown, also when it is revoked already."""
        now = self._now()

        def apply(db: apsw.Connection) -> None:
            db.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, identifier))
            if not db.changes():
                raise AccountUnknown()

        if (key := self._load(identifier)) is None:
            raise AccountUnknown()
        await self._store.change("key_revoked", {"actor": by, "name": key.key.owner, "key": identifier}, apply)
        return key.key

    def list(self, owner: str | None = None) -> list[ApiKey]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM keys ORDER BY owner, created")
        wanted = None if owner is None else folded(normal_name(owner))
        return [_key(row, self._owner(row[1])) for row in rows if wanted in (None, row[1])]

    def verify(self, presented: str) -> Identity:
        """Whose key it is; the caller has refreshed the store. Raises NotIdentified; NotPermitted if disabled."""
        form = _FORM.fullmatch(presented)
        if form is None:
            raise NotIdentified(detail="API key")
        known = self._store.remembered(("key", form[1]), lambda: self._load(form[1]))
        digest, now = _hash(presented), self._now()
        if known is None or not hmac.compare_digest(known.hash, digest) or not _valid(known.key, now):
            self._good.pop(digest, None)
            raise NotIdentified(detail="API key")
        if known.identity is None:
            raise NotPermitted(detail=("停止中の利用者です", "the account is disabled"))
        self._remember_good(digest)
        self._store.touch("keys", known.key.id, now)
        return known.identity

    def was_good(self, presented: str) -> bool:
        """Whether this key was verified before: it need not suffer for what others guess from the same address."""
        return _hash(presented) in self._good

    def identifier(self, presented: str) -> str | None:
        """The public half of something that has the form of a key, for the record."""
        form = _FORM.fullmatch(presented)
        return None if form is None else form[1]

    def _remember_good(self, digest: bytes) -> None:
        if digest not in self._good:
            self._good[digest] = None
            if len(self._good) > MAX_KNOWN:
                self._good.popitem(last=False)

    def _load(self, identifier: str) -> _Known | None:
        row = self._store.row(f"SELECT {_COLUMNS}, hash FROM keys WHERE id = ?", identifier)
        if row is None:
            return None
        key = _key(row[:-1], self._owner(row[1]))
        return _Known(key, row[-1], self._identity(key))

    def _identity(self, key: ApiKey) -> Identity | None:
        try:
            owner = self._accounts.active(key.owner)
        except NotPermitted:
            return None
        roles = key.roles & owner.roles
        return Identity(owner.name, roles, owner.clearance, "key", owner.groups) if roles else None

    def _owner(self, key: str) -> str:
        user = self._accounts.find(key)
        return key if user is None else user.name


def _valid(key: ApiKey, now: float) -> bool:
    return key.revoked is None and (key.expires is None or now < key.expires)


def _key(row: Row, owner: str) -> ApiKey:
    identifier, _, label, roles, created, expires, used, revoked = row
    return ApiKey(identifier, owner, label, frozenset(map(Role, json.loads(roles))), created, expires, used, revoked)


def _new() -> IssuedKey:
    identifier = secrets.token_hex(8)
    return IssuedKey(identifier, f"so8t_{identifier}_{secrets.token_urlsafe(32)}")


def _hash(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
