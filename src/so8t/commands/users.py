"""so8t users: who may speak to the gateway, from the server's own machine. Works while the server runs.

A password is never an argument: it is asked for, or read from a file. What is changed here is reported to the ledger by
the server, before it acts on it.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from so8t.core.bundle import newest_bundle
from so8t.core.config import load_config
from so8t.core.errors import AccountInvalid, UsageError
from so8t.core.packaged import policy_text
from so8t.core.serve_config import ServeConfig
from so8t.decide.policy import Policy, parse_policy
from so8t.judge.triple import POLICY
from so8t.operate.identity.accounts import Accounts, User
from so8t.operate.identity.identity import Role
from so8t.operate.identity.keys import Keys
from so8t.operate.identity.passwords import LONGEST, Passwords
from so8t.operate.identity.sessions import Sessions
from so8t.operate.identity.store import Store
from so8t.report.summary import table

MAX_PASSWORD_FILE = 4 * LONGEST
Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the verbs work with. `by` goes into the ledger as the actor."""

    accounts: Accounts
    keys: Keys
    sessions: Sessions
    policy: Policy
    by: str


def users(options: argparse.Namespace) -> int:
    """Raises AccessError's classes, UsageError, PolicyInvalid, ConfigUnreadable."""
    if not options.name and (options.action not in ("list", "sessions") or options.end):
        raise UsageError(detail=f"so8t users {options.action} NAME")
    with _desk(options) as desk:
        shown = asyncio.run(ACTIONS[options.action](desk, options))
    print(json.dumps(shown, ensure_ascii=False) if options.json else _text(shown, options.lang))
    return 0


@contextmanager
def _desk(options: argparse.Namespace) -> Iterator[Desk]:
    serve = load_config(path=options.config).serve
    policy, identity = policy_of(options, serve), serve.identity
    store, passwords = Store(Path(options.db or identity.users), None), Passwords()
    try:
        accounts = Accounts(store, passwords, lambda: policy.levels)
        sessions = Sessions(store, accounts, identity.session_minutes, identity.idle_minutes)
        yield Desk(accounts, Keys(store, accounts), sessions, policy, f"cli:{_operator()}")
    finally:
        passwords.close()
        store.close()


def policy_of(options: argparse.Namespace, serve: ServeConfig) -> Policy:
    """The one the server will use: named here, in the configuration, in the bundle; else the demo policy."""
    bundle = Path(serve.bundle) if serve.bundle else newest_bundle(options.runs)
    own = str((bundle / POLICY).resolve()) if bundle is not None and (bundle / POLICY).is_file() else "demo"
    return parse_policy(*policy_text(options.policy or serve.policy or own))


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a service account without a name
        return "?"


# ---- the verbs ------------------------------------------------------------------------------------------------------


async def _list(desk: Desk, options: argparse.Namespace) -> Shown:
    if not options.name:
        return {"users": [user.to_json() for user in desk.accounts.list()]}
    user = desk.accounts.get(options.name)
    return {"users": [user.to_json()], **_keys(desk, user), **_sessions(desk, user.name)}


async def _add(desk: Desk, options: argparse.Namespace) -> Shown:
    roles, clearance = options.role or [Role.USER], options.clearance or desk.policy.default_clearance
    password = None if options.no_password else _password(options)
    user = await desk.accounts.add(
        options.name, roles=frozenset(map(Role, roles)), clearance=clearance, by=desk.by,
        display=options.display or "", groups=options.group or (), password=password,
    )  # fmt: skip
    return {"users": [user.to_json()]}


async def _change(desk: Desk, options: argparse.Namespace) -> Shown:
    roles = frozenset(map(Role, options.role)) if options.role else None
    user = await desk.accounts.change(
        options.name, by=desk.by, roles=roles, clearance=options.clearance or None, display=options.display,
        groups=options.group,
    )  # fmt: skip
    return {"users": [user.to_json()]}


async def _disable(desk: Desk, options: argparse.Namespace) -> Shown:
    return {"users": [(await desk.accounts.disable(options.name, desk.by)).to_json()]}


async def _enable(desk: Desk, options: argparse.Namespace) -> Shown:
    return {"users": [(await desk.accounts.enable(options.name, desk.by)).to_json()]}


async def _set_password(desk: Desk, options: argparse.Namespace) -> Shown:
    user = desk.accounts.get(options.name)
    await desk.accounts.set_password(user.name, _password(options), desk.by)
    return {"users": [desk.accounts.get(user.name).to_json()]}


async def _issue(desk: Desk, options: argparse.Namespace) -> Shown:
    """The only place a key is ever shown. A role more than asking is given to a key only where it is named: keys lie in
    other programs, which must not approve or administer by the way."""
    user, roles = desk.accounts.get(options.name), frozenset(map(Role, options.role or [Role.USER]))
    if not roles <= user.roles:
        name, held = user.name, " ".join(sorted(user.roles))
        give = _named(user.roles)
        raise AccountInvalid(
            detail=(f"{name} の役割は {held} です。{give} を付けてください", f"{name} is {held}: add {give}")
        )
    label = options.label or ""
    issued = await desk.keys.issue(user.name, by=desk.by, roles=roles, label=label, days=options.days)
    return {"key": issued.id, "secret": issued.secret, "roles": sorted(roles), "not_given": sorted(user.roles - roles)}


async def _revoke(desk: Desk, options: argparse.Namespace) -> Shown:
    return {"revoked": (await desk.keys.revoke(options.name, desk.by)).to_json()}


async def _show_sessions(desk: Desk, options: argparse.Namespace) -> Shown:
    """Everybody's, or one person's; with --end that person, who needs no account here, is logged out everywhere."""
    if options.end:
        await desk.sessions.close_all(options.name, desk.by)
    return _sessions(desk, options.name)


ACTIONS: dict[str, Callable[[Desk, argparse.Namespace], Coroutine[Any, Any, Shown]]] = {
    "list": _list,
    "add": _add,
    "change": _change,
    "disable": _disable,
    "enable": _enable,
    "password": _set_password,
    "key": _issue,
    "revoke": _revoke,
    "sessions": _show_sessions,
}


def _keys(desk: Desk, user: User) -> Shown:
    return {"keys": [key.to_json() for key in desk.keys.list(user.name)]}


def _sessions(desk: Desk, name: str) -> Shown:
    return {"sessions": [session.to_json() for session in desk.sessions.list(name or None)]}


# ---- passwords in, tables out ---------------------------------------------------------------------------------------


def _password(options: argparse.Namespace) -> str:
    """From the file's first line, else asked for twice. Raises UsageError, AccountInvalid; never shows it."""
    if options.password_file is not None:
        return _read_password(options.password_file)
    if not sys.stdin.isatty():
        raise UsageError(detail="--password-file")
    ja = options.lang == "ja"
    first = getpass.getpass("パスワード(10 文字以上): " if ja else "Password (10 characters or more): ")
    if getpass.getpass("もう一度: " if ja else "Again: ") != first:
        raise AccountInvalid(detail=("二つが違います", "the two differ"))
    return first


def _read_password(path: Path) -> str:
    try:
        with path.open("rb") as f:
            raw = f.read(MAX_PASSWORD_FILE + 1)
        if len(raw) > MAX_PASSWORD_FILE:
            raise UsageError(where=path, detail=f"> {MAX_PASSWORD_FILE} bytes")
        return raw.decode("utf-8-sig").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(where=path, detail=type(error).__name__) from None


def _text(shown: Shown, lang: str) -> str:
    ja, parts = lang == "ja", []
    if "secret" in shown:
        note = "このキーは二度と表示されません。" if ja else "This key is not shown again."
        return f"{shown['secret']}\n{_key_roles(shown, ja)}\n{note}"
    if "revoked" in shown:
        return ("無効にしました: " if ja else "revoked: ") + str(shown["revoked"]["id"])
    if "users" in shown:
        head = ["名前", "表示名", "役割", "区分", "状態"] if ja else ["name", "shown as", "roles", "clearance", "state"]
        parts.append(table([_user_row(u, ja) for u in shown["users"]], head))
    if "keys" in shown:
        head = ["キー", "用途", "役割", "期限", "最終使用"] if ja else ["key", "label", "roles", "expires", "used"]
        parts.append(table([_key_row(k, ja) for k in shown["keys"]], head))
    if "sessions" in shown:
        head = ["名前", "方法", "アドレス", "開始", "最終"] if ja else ["name", "by", "address", "from", "seen"]
        rows = [
            [s["name"], s["method"], s["address"], _when(s["created"]), _when(s["seen"])] for s in shown["sessions"]
        ]
        parts.append(table(rows, head))
    return "\n\n".join(parts)


def _key_roles(shown: Shown, ja: bool) -> str:
    """What the key may do, and how it would be given what else its owner may."""
    told = ("役割: " if ja else "roles: ") + " ".join(shown["roles"])
    if not shown["not_given"]:
        return told
    every = _named([*shown["roles"], *shown["not_given"]])
    return told + (f"(持ち主の役割をすべて渡すなら {every})" if ja else f" (all of its owner's: {every})")


def _named(roles: Iterable[str]) -> str:
    return " ".join(f"--role {role}" for role in sorted(roles))


def _user_row(user: Shown, ja: bool) -> list[str]:
    state = ("停止" if ja else "disabled") if user["disabled"] else ("有効" if ja else "active")
    return [user["name"], user["display"], " ".join(user["roles"]), user["clearance"], state]


def _key_row(key: Shown, ja: bool) -> list[str]:
    end = ("無効" if ja else "revoked") if key["revoked"] else _when(key["expires"])
    return [key["id"], key["label"], " ".join(key["roles"]), end, _when(key["used"])]


def _when(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
