"""Accounts: every change recorded, nothing secret in the record, the last administrator stays."""

from __future__ import annotations

from typing import Any

import pytest

from so8t.core.errors import AccountInvalid, AccountUnknown, LedgerUnavailable, NotPermitted
from so8t.core.types import Levels
from so8t.operate.identity.identity import Identity, Role

PASSWORD = "垣根の曲り角 たき火"
USER, ADMIN = frozenset({Role.USER}), frozenset({Role.ADMIN})


async def test_add_find_list(authenticator: Any, ledger: Any) -> None:
    accounts = authenticator.accounts
    user = await accounts.add(
        "Ｔaro", roles=USER, clearance="社内限定", by="root", display="山田 太郎", groups=["Sales"], password=PASSWORD
    )
    assert (user.name, user.groups, user.has_password) == ("Taro", frozenset({"sales"}), True)
    assert accounts.find("TARO") == accounts.find(" taro") == user and accounts.list() == [user]
    assert accounts.find("hanako") is None and accounts.find("ta\r\nro") is None
    assert user.identity("key") == Identity("Taro", USER, "社内限定", "key", frozenset({"sales"}))
    ((event, body),) = ledger.entries
    assert event == "user_added" and body["actor"] == "root" and body["roles"] == ["user"]
    with pytest.raises(AccountInvalid, match="exists"):
        await accounts.add("tARO", roles=USER, clearance="公開", by="root")
    with pytest.raises(AccountUnknown):
        accounts.get("hanako")


@pytest.mark.parametrize(
    "wrong",
    [{"roles": frozenset()}, {"clearance": "極秘中の極秘"}, {"clearance": ""}, {"name": "a\r\nb"},
     {"password": "short"}, {"display": "x\u202ey"}, {"groups": ["a\nb"]}],
)  # fmt: skip
async def test_what_makes_no_account(authenticator: Any, ledger: Any, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "taro", "roles": USER, "clearance": "公開", "by": "root", **wrong}
    with pytest.raises(AccountInvalid):
        await authenticator.accounts.add(given.pop("name"), **given)
    assert authenticator.accounts.list() == [] and ledger.entries == []


async def test_change_says_what_was_before(authenticator: Any, ledger: Any, taro: Any) -> None:
    await taro(authenticator)
    changed = await authenticator.accounts.change("TARO", by="root", roles=ADMIN | USER, clearance="極秘")
    assert changed.roles == ADMIN | USER and changed.clearance == "極秘"
    body = ledger.entries[-1][1]
    assert body["before"] == {"roles": ["user"], "clearance": "社内限定", "groups": []}
    for wrong in ({"roles": frozenset()}, {"clearance": "?"}):
        with pytest.raises(AccountInvalid):
            await authenticator.accounts.change("taro", by="root", **wrong)
    assert authenticator.accounts.get("taro") == changed


async def test_the_last_administrator_stays(authenticator: Any, taro: Any) -> None:
    await taro(authenticator, Role.ADMIN)
    accounts = authenticator.accounts
    for act in (accounts.disable("taro", "taro"), accounts.change("taro", by="taro", roles=USER)):
        with pytest.raises(AccountInvalid, match="last administrator"):
            await act
    assert accounts.get("taro").roles == ADMIN and not accounts.get("taro").disabled
    await accounts.add("hanako", roles=ADMIN, clearance="公開", by="taro")
    assert (await accounts.disable("taro", "hanako")).disabled
    with pytest.raises(NotPermitted):
        accounts.active("taro")
    assert not (await accounts.enable("taro", "hanako")).disabled


async def test_when_the_ledger_refuses_nothing_changed(authenticator: Any, ledger: Any, taro: Any) -> None:
    await taro(authenticator)
    before, hashed = authenticator.accounts.get("taro"), authenticator.accounts.stored_password("taro")
    ledger.fails = True
    for act in (
        authenticator.accounts.change("taro", by="x", clearance="極秘"),
        authenticator.accounts.disable("taro", "x"),
        authenticator.accounts.set_password("taro", "another good phrase", "x"),
        authenticator.accounts.add("hanako", roles=USER, clearance="公開", by="x"),
        authenticator.keys.issue("taro", by="x"),
    ):
        with pytest.raises(LedgerUnavailable):
            await act
    assert authenticator.accounts.get("taro") == before
    assert authenticator.accounts.stored_password("taro") == hashed
    assert authenticator.accounts.find("hanako") is None and authenticator.keys.list() == []


async def test_a_level_the_policy_dropped(make: Any, taro: Any, ledger: Any) -> None:
    await taro(make())
    key = await (first := make()).keys.issue("taro", by="root")
    assert (await first.identify({"x-api-key": key.secret}, "10.0.0.1")).clearance == "社内限定"
    bank = make(groups=(), levels=Levels(("公開", "行内限定", "部外秘", "極秘")))
    with pytest.raises(NotPermitted, match="clearance"):
        await bank.identify({"x-api-key": key.secret}, "10.0.0.1")


def test_require() -> None:
    identity = Identity("taro", frozenset({Role.USER, Role.AUDITOR}), "公開", "key")
    identity.require(Role.ADMIN, Role.AUDITOR)
    with pytest.raises(NotPermitted, match="admin"):
        identity.require(Role.ADMIN)
