"""API keys: shown once, stored hashed, revoked at once, never above their owner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import AccountInvalid, AccountUnknown, NotIdentified, NotPermitted, TooManyAttempts
from so8t.operate.identity.identity import Role
from so8t.operate.identity.keys import Keys, _new
from so8t.operate.identity.store import Store

HERE = "192.168.1.20"


async def by_key(authenticator: Any, secret: str, address: str = HERE) -> Any:
    return await authenticator.identify({"authorization": f"Bearer {secret}"}, address)


async def test_issue_and_use(authenticator: Any, ledger: Any, taro: Any, tmp_path: Path, clock: Any) -> None:
    await taro(authenticator, Role.USER, Role.REVIEWER)
    issued = await authenticator.keys.issue("taro", by="root", label="帳票の一括処理", days=30)
    identity = await by_key(authenticator, issued.secret)
    assert (identity.name, identity.roles, identity.method) == ("taro", frozenset({Role.USER}), "key")
    assert await authenticator.identify({"x-api-key": issued.secret}, HERE) == identity
    assert issued.secret not in repr(issued) and issued.id in repr(issued)
    assert ledger.entries[-1][0] == "key_issued" and issued.secret not in str(ledger.entries)
    authenticator.close()
    raw = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.name.startswith("users.db"))
    assert issued.id.encode() in raw and issued.secret.encode() not in raw and issued.secret[-43:].encode() not in raw
    store = Store(tmp_path / "users.db", None)
    assert store.row("SELECT used FROM keys") == (clock.value,)
    store.close()


async def test_it_ends(authenticator: Any, taro: Any, clock: Any) -> None:
    await taro(authenticator)
    one, forever = [await authenticator.keys.issue("taro", by="root", days=days) for days in (1, 0)]
    await by_key(authenticator, one.secret)
    clock.value += 86_400
    with pytest.raises(NotIdentified):
        await by_key(authenticator, one.secret)
    clock.value += 10 * 365 * 86_400
    await by_key(authenticator, forever.secret)


async def test_a_revoked_key_is_refused_at_once(authenticator: Any, taro: Any, ledger: Any) -> None:
    await taro(authenticator)
    issued = await authenticator.keys.issue("taro", by="root")
    await by_key(authenticator, issued.secret)
    assert ("key", issued.id) in authenticator._store._remembered
    await authenticator.keys.revoke(issued.id, by="root")
    with pytest.raises(NotIdentified):
        await by_key(authenticator, issued.secret)
    assert "key_revoked" in ledger.events
    for identifier in (issued.id, "0" * 16):
        with pytest.raises(AccountUnknown):
            await authenticator.keys.revoke(identifier, by="root")


async def test_revoked_by_another_process_at_once(make: Any, taro: Any, tmp_path: Path, ledger: Any) -> None:
    """The command line beside the server; the server records it before the next answer."""
    server, cli = make(), Store(tmp_path / "users.db", None)
    await taro(server)
    issued = await server.keys.issue("taro", by="root")
    await by_key(server, issued.secret)
    await Keys(cli, server.accounts).revoke(issued.id, by="cli:root")
    cli.close()
    assert "key_revoked" not in ledger.events
    with pytest.raises(NotIdentified):
        await by_key(server, issued.secret)
    assert "key_revoked" in ledger.events


async def test_never_above_the_owner(authenticator: Any, taro: Any) -> None:
    await taro(authenticator, Role.USER, Role.AUDITOR)
    for roles in ({Role.ADMIN}, {Role.USER, Role.ADMIN}, set()):
        with pytest.raises(AccountInvalid):
            await authenticator.keys.issue("taro", by="root", roles=roles)
    with pytest.raises(AccountInvalid):
        await authenticator.keys.issue("taro", by="root", days=-1)
    issued = await authenticator.keys.issue("taro", by="root", roles={Role.USER, Role.AUDITOR})
    await by_key(authenticator, issued.secret)
    await authenticator.accounts.change("taro", by="root", roles={Role.USER}, clearance="公開")
    identity = await by_key(authenticator, issued.secret)
    assert identity.roles == {Role.USER} and identity.clearance == "公開"
    await authenticator.accounts.change("taro", by="root", roles={Role.REVIEWER})
    with pytest.raises(NotPermitted):
        await by_key(authenticator, issued.secret)
    await authenticator.accounts.change("taro", by="root", roles={Role.USER})
    await authenticator.accounts.disable("taro", by="root")
    with pytest.raises(NotPermitted):
        await by_key(authenticator, issued.secret)


async def test_guessing_is_stopped_and_the_neighbour_goes_on(authenticator: Any, taro: Any, ledger: Any) -> None:
    await taro(authenticator)
    used, unused = [(await authenticator.keys.issue("taro", by="root")).secret for _ in range(2)]
    await by_key(authenticator, used)
    before, limited = len(ledger.entries), 0
    for _ in range(200):
        with pytest.raises((NotIdentified, TooManyAttempts)) as caught:
            await by_key(authenticator, _new().secret)
        limited += isinstance(caught.value, TooManyAttempts)
    assert limited >= 180
    assert len(ledger.entries) - before <= 21, "a flood of guesses is no flood of entries"
    await by_key(authenticator, used)  # the neighbour behind the same address, known before
    with pytest.raises(TooManyAttempts):
        await by_key(authenticator, unused)  # right, but in the midst of guesses: not looked at
    await by_key(authenticator, unused, "192.168.1.21")


async def test_half_a_key_is_none(authenticator: Any, taro: Any, ledger: Any) -> None:
    await taro(authenticator)
    issued = await authenticator.keys.issue("taro", by="root")
    other = await authenticator.keys.issue("taro", by="root")
    mixed = issued.secret[:-43] + other.secret[-43:]
    for wrong in (
        issued.secret[:-1],
        issued.secret + "x",
        issued.secret.upper(),
        mixed,
        "so8t__",
        "\ud800",
        "",
        "x" * 500,
    ):
        with pytest.raises(NotIdentified) as caught:
            await authenticator.identify({"x-api-key": wrong}, "10.0.0.1")
        assert len(wrong) < 10 or wrong not in str(caught.value)
        authenticator._attempts._counters.clear()
    text = str(ledger.entries)
    assert issued.secret not in text and other.secret[-43:] not in text


@given(st.one_of(st.text(max_size=120), st.from_regex(r"so8t_[0-9a-f]{16}_[0-9A-Za-z_-]{40,46}", fullmatch=True)))
def test_no_text_is_taken_for_a_key(text: str) -> None:
    class Empty:
        def remembered(self, key: Any, load: Any) -> None:
            return None

    with pytest.raises(NotIdentified):
        Keys(Empty(), None, lambda: 0.0).verify(text)  # type: ignore[arg-type]


async def test_it_compares_in_constant_time(authenticator: Any, taro: Any, monkeypatch: Any) -> None:
    await taro(authenticator)
    issued = await authenticator.keys.issue("taro", by="root")
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(
        "so8t.operate.identity.keys.hmac.compare_digest", lambda a, b: (compared.append((a, b)), a == b)[1]
    )
    await by_key(authenticator, issued.secret)
    with pytest.raises(NotIdentified):
        await by_key(authenticator, issued.secret[:-4] + "AAAA")
    assert len(compared) == 2 and all(len(a) == len(b) == 32 for a, b in compared)


async def test_the_list_holds_no_secret(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    issued = await authenticator.keys.issue("taro", by="root", label="batch")
    (shown,) = authenticator.keys.list("TARO")
    assert shown.id == issued.id and shown.owner == "taro" and shown.label == "batch"
    assert issued.secret[-43:] not in str(shown.to_json()) and authenticator.keys.list("hanako") == []
