"""The people this gateway knows by itself: roles, clearance, password. Nobody is deleted: the ledger names them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import apsw

from so8t.core.errors import AccountInvalid, AccountUnknown, LevelUnknown, NotPermitted
from so8t.core.types import Levels
from so8t.operate.identity.identity import Identity, Method, Role
from so8t.operate.identity.names import folded, normal_group, normal_name
from so8t.operate.identity.passwords import Passwords, check_password
from so8t.operate.identity.store import Row, Store

MAX_DISPLAY = 128
_COLUMNS = "name, display, password IS NOT NULL, roles, clearance, groups, disabled, created"


@dataclass(frozen=True, slots=True)
class User:
    """One account. `name` is its spelling; `created` Unix seconds."""

    name: str
    display: str
    has_password: bool
    roles: frozenset[Role]
    clearance: str
    groups: frozenset[str]
    disabled: bool
    created: float

    def identity(self, method: Method) -> Identity:
        return Identity(self.name, self.roles, self.clearance, method, self.groups)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "display": self.display,
            "password": self.has_password,
            "roles": sorted(self.roles),
            "clearance": self.clearance,
            "groups": sorted(self.groups),
            "disabled": self.disabled,
            "created": self.created,
        }


class Accounts:
    """`levels` gives those of the policy in force; `now` the time in Unix seconds; `by` is who makes a change.

    Every method that changes raises AccountInvalid, AccountUnknown, AccountsUnavailable, or what the ledger raised;
    then nothing changed.
    """

    def __init__(
        self, store: Store, passwords: Passwords, levels: Callable[[], Levels], now: Callable[[], float] = time.time
    ) -> None:
        self._store, self._passwords, self._levels, self._now = store, passwords, levels, now

    # -- who there is ---------------------------------------------------------------------------------------------

    def find(self, name: str) -> User | None:
        """By any spelling of the name; None for nobody, and for what cannot be a name."""
        try:
            key = folded(normal_name(name))
        except AccountInvalid:
            return None
        return self._store.remembered(("user", key), lambda: self._load(key))

    def get(self, name: str) -> User:
        """Raises AccountUnknown."""
        if (user := self.find(name)) is None:
            raise AccountUnknown()
        return user

    def list(self) -> list[User]:
        return [_user(row) for row in self._store.rows(f"SELECT {_COLUMNS} FROM users ORDER BY folded")]

    def active(self, name: str) -> User:
        """Who may act now. Raises NotPermitted for nobody and for a disabled account."""
        user = self.find(name)
        if user is None or user.disabled:
            raise NotPermitted(detail=("停止中の利用者です", "the account is disabled"))
        return user

    def stored_password(self, name: str) -> str | None:
        """The argon2 hash, for verification alone; None for nobody and for an account without a password."""
        try:
            row = self._store.row("SELECT password FROM users WHERE folded = ?", folded(normal_name(name)))
        except AccountInvalid:
            return None
        return None if row is None else row[0]

    # -- changes --------------------------------------------------------------------------------------------------

    async def add(
        self, name: str, *, roles: Collection[Role], clearance: str, by: str, display: str = "",
        groups: Iterable[str] = (), password: str | None = None,
    ) -> User:  # fmt: skip
        """A new account. Without a password it is that of somebody the directory identifies, or of a program."""
        name = normal_name(name)
        shown, held = _display(display), _groups(groups)
        self._check(roles, clearance)
        hashed = await self._hashed(password, name)
        values = (folded(name), name, shown, hashed, _text(roles), clearance, _text(held), 0, self._now())
        body = {"actor": by, "name": name, "roles": sorted(roles), "clearance": clearance, "groups": sorted(held)}

        def apply(db: apsw.Connection) -> None:
            if db.execute("SELECT 1 FROM users WHERE folded = ?", (values[0],)).get:
                raise AccountInvalid(detail=(f"{name}: 既にあります", f"{name}: exists already"))
            db.execute("INSERT INTO users VALUES(?,?,?,?,?,?,?,?,?)", values)

        await self._store.change("user_added", body, apply)
        return self.get(name)

    async def change(
        self, name: str, *, by: str, roles: Collection[Role] | None = None, clearance: str | None = None,
        display: str | None = None, groups: Iterable[str] | None = None,
    ) -> User:  # fmt: skip
        """What is None stays as it is; it holds from the next request on. The last administrator stays one."""
        user = self.get(name)
        roles = user.roles if roles is None else roles
        clearance = user.clearance if clearance is None else clearance
        shown = user.display if display is None else _display(display)
        held = user.groups if groups is None else _groups(groups)
        self._check(roles, clearance)
        values = (shown, _text(roles), clearance, _text(held), folded(user.name))
        after = {"roles": sorted(roles), "clearance": clearance, "groups": sorted(held)}
        before = {"roles": sorted(user.roles), "clearance": user.clearance, "groups": sorted(user.groups)}
        body = {"actor": by, "name": user.name, **after, "before": before}

        def apply(db: apsw.Connection) -> None:
            db.execute("UPDATE users SET display=?, roles=?, clearance=?, groups=? WHERE folded=?", values)
            _require_administrator(db, was=Role.ADMIN in user.roles)

        await self._store.change("user_changed", body, apply)
        return self.get(user.name)

    async def disable(self, name: str, by: str) -> User:
        """At once: sessions end, keys are refused until enable()."""
        return await self._switch(name, True, by)

    async def enable(self, name: str, by: str) -> User:
        return await self._switch(name, False, by)

    async def set_password(self, name: str, password: str, by: str) -> None:
        """All sessions of the account end."""
        user = self.get(name)
        hashed = await self._hashed(password, user.name)

        def apply(db: apsw.Connection) -> None:
            db.execute("UPDATE users SET password = ? WHERE folded = ?", (hashed, folded(user.name)))
            db.execute("DELETE FROM sessions WHERE owner = ?", (folded(user.name),))

        await self._store.change("password_changed", {"actor": by, "name": user.name}, apply)

    async def renew_hash(self, name: str, old: str, new: str) -> None:
        """The same password under today's parameters, unless it was changed meanwhile."""

        def apply(db: apsw.Connection) -> None:
            db.execute("UPDATE users SET password = ? WHERE folded = ? AND password = ?", (new, folded(name), old))

        await self._store.change("password_rehashed", {"actor": name, "name": name}, apply)

    async def _switch(self, name: str, disabled: bool, by: str) -> User:
        user = self.get(name)

        def apply(db: apsw.Connection) -> None:
            db.execute("UPDATE users SET disabled = ? WHERE folded = ?", (int(disabled), folded(user.name)))
            if disabled:
                db.execute("DELETE FROM sessions WHERE owner = ?", (folded(user.name),))
                _require_administrator(db, was=Role.ADMIN in user.roles and not user.disabled)

        event = "user_disabled" if disabled else "user_enabled"
        await self._store.change(event, {"actor": by, "name": user.name}, apply)
        return self.get(user.name)

    async def _hashed(self, password: str | None, name: str) -> str | None:
        if password is None:
            return None
        check_password(password, name)
        return await self._passwords.hash(password)

    def _check(self, roles: Collection[Role], clearance: str) -> None:
        if not roles:
            raise AccountInvalid(detail=(f"役割を一つ以上: {' '.join(Role)}", f"one role or more: {' '.join(Role)}"))
        try:
            self._levels().rank(clearance)
        except LevelUnknown as error:
            raise AccountInvalid(detail=(f"区分 {error.detail}", f"clearance {error.detail}")) from None

    def _load(self, key: str) -> User | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM users WHERE folded = ?", key)
        return None if row is None else _user(row)


def _user(row: Row) -> User:
    name, display, has_password, roles, clearance, groups, disabled, created = row
    held = frozenset(Role(r) for r in json.loads(roles))
    return User(
        name, display, bool(has_password), held, clearance, frozenset(json.loads(groups)), bool(disabled), created
    )


def _require_administrator(db: apsw.Connection, *, was: bool) -> None:
    """Raises AccountInvalid when the change took the last one away."""
    if was:
        rest = db.execute("SELECT roles FROM users WHERE NOT disabled")
        if not any(Role.ADMIN in json.loads(roles) for (roles,) in rest):
            raise AccountInvalid(detail=("最後の管理者です", "the last administrator"))


def _display(display: str) -> str:
    return normal_name(display, MAX_DISPLAY) if display else ""


def _groups(groups: Iterable[str]) -> frozenset[str]:
    return frozenset(map(normal_group, groups))


def _text(values: Iterable[str]) -> str:
    return json.dumps(sorted(values), ensure_ascii=False)
