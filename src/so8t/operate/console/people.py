"""利用者: accounts, keys and sessions, for administrators. Every change is an entry in the ledger, by its maker."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from so8t.core.errors import AccountInvalid, AccountUnknown, RecordInvalid
from so8t.operate.console.forms import Form
from so8t.operate.console.visit import Visit
from so8t.operate.identity.accounts import User
from so8t.operate.identity.identity import Role

MAX_DAYS = 36_500


async def listed(visit: Visit, status: int = 200, **told: Any) -> Response:
    authenticator, policy = visit.running.authenticator, visit.running.policy.policy
    values = {"error": None, "form": Form()} | told
    return visit.page(
        "users", "users", status, users=authenticator.accounts.list(), sessions=authenticator.sessions.list(),
        levels=policy.levels.names, default=policy.default_clearance, roles=tuple(Role), **values,
    )  # fmt: skip


async def one(visit: Visit) -> Response:
    return await _account(visit, visit.asked("name", 200))


async def add(visit: Visit) -> Response:
    """A refused form comes back filled in, but for the password."""
    form = visit.form
    try:
        user = await visit.running.authenticator.accounts.add(
            form.one("name", 200), roles=_roles(form), clearance=form.one("clearance", 100), by=visit.identity.name,
            display=form.one("display", 300), groups=_groups(form), password=form.one("password", 1000) or None,
        )  # fmt: skip
    except AccountInvalid as error:
        return await listed(visit, 400, error=error, form=form)
    return _to(user.name)


async def change(visit: Visit) -> Response:
    form = visit.form
    return await _changed(visit, visit.running.authenticator.accounts.change(
        form.one("name", 200), by=visit.identity.name, roles=_roles(form), clearance=form.one("clearance", 100),
        display=form.one("display", 300), groups=_groups(form),
    ))  # fmt: skip


async def switch(visit: Visit) -> Response:
    """Disable or enable an account."""
    accounts, name = visit.running.authenticator.accounts, visit.form.one("name", 200)
    wanted = visit.form.one("to", 10)
    if wanted not in ("disable", "enable"):
        raise RecordInvalid(where="to", detail="disable / enable")
    act = accounts.disable if wanted == "disable" else accounts.enable
    return await _changed(visit, act(name, visit.identity.name))


async def set_password(visit: Visit) -> Response:
    """All sessions of the account end."""
    name, password = visit.form.one("name", 200), visit.form.one("password", 1000)
    return await _changed(visit, visit.running.authenticator.accounts.set_password(name, password, visit.identity.name))


async def issue_key(visit: Visit) -> Response:
    """The secret stands in this answer and nowhere else."""
    form, authenticator = visit.form, visit.running.authenticator
    name, days = form.one("name", 200), form.one("days", 10) or "365"
    if not (days.isascii() and days.isdigit()) or int(days) > MAX_DAYS:
        raise RecordInvalid(where="days", detail=f"0 … {MAX_DAYS}")
    try:
        issued = await authenticator.keys.issue(
            name, by=visit.identity.name, roles=_roles(form), label=form.one("label", 300), days=float(days)
        )
    except AccountInvalid as error:
        return await _account(visit, name, 400, error=error)
    return await _account(visit, name, issued=issued)


async def revoke_key(visit: Visit) -> Response:
    key = await visit.running.authenticator.keys.revoke(visit.form.one("key", 64), visit.identity.name)
    return _to(key.owner)


async def close_session(visit: Visit) -> Response:
    """One session by its id, or with `all` every one of an account."""
    sessions, name = visit.running.authenticator.sessions, visit.form.one("name", 200)
    if visit.form.one("all", 1):
        await sessions.close_all(name, visit.identity.name)
    else:
        await sessions.close(visit.form.one("session", 64), visit.identity.name)
    return RedirectResponse("/console/users", 303) if _user(visit, name) is None else _to(name)


async def _changed(visit: Visit, act: Awaitable[object]) -> Response:
    name = visit.form.one("name", 200)
    try:
        await act
    except AccountInvalid as error:
        return await _account(visit, name, 400, error=error)
    return _to(name)


async def _account(visit: Visit, name: str, status: int = 200, **told: Any) -> Response:
    """Raises AccountUnknown."""
    authenticator, policy = visit.running.authenticator, visit.running.policy.policy
    if (user := _user(visit, name)) is None:
        raise AccountUnknown()
    return visit.page(
        "user", "users", status, user=user, keys=authenticator.keys.list(user.name),
        sessions=authenticator.sessions.list(user.name), levels=policy.levels.names, roles=tuple(Role),
        **({"error": None, "issued": None} | told),
    )  # fmt: skip


def _user(visit: Visit, name: str) -> User | None:
    return visit.running.authenticator.accounts.find(name)


def _roles(form: Form) -> frozenset[Role]:
    """Raises RecordInvalid for what is no role."""
    try:
        return frozenset(map(Role, form.many("role")))
    except ValueError:
        raise RecordInvalid(where="role", detail=" ".join(Role)) from None


def _groups(form: Form) -> list[str]:
    """One a line."""
    return [line.strip() for line in form.one("groups", 8000).split("\n") if line.strip()]


def _to(name: str) -> Response:
    return RedirectResponse(f"/console/users/account?name={quote(name, safe='')}", 303)
