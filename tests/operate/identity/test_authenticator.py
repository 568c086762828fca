"""Who gets in, in which order things are asked, and what the ledger hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import argon2
import pytest
from argon2.profiles import CHEAPEST

from so8t.core.errors import AccountsBroken, AccountsUnavailable, NotIdentified, TooManyAttempts, TooManyRequests
from so8t.core.types import Levels
from so8t.operate.identity.accounts import Accounts
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Role
from so8t.operate.identity.passwords import Passwords
from so8t.operate.identity.store import Store

PASSWORD = "垣根の曲り角 たき火"
HERE, THERE = "192.168.1.20", "192.168.1.21"


@pytest.mark.parametrize(
    "headers",
    [{}, {"cookie": ""}, {"cookie": "__Host-so8t="}, {"cookie": "__Host-so8t=" + "é" * 43},
     {"authorization": "Basic eA=="}, {"x-api-key": ""}, {"x-remote-user": "admin"}, {"authorization": "Bearer so8t"}],
)  # fmt: skip
async def test_there_is_no_anonymous_mode(authenticator: Any, taro: Any, headers: dict[str, str]) -> None:
    await taro(authenticator)
    with pytest.raises(NotIdentified):
        await authenticator.identify(headers, HERE)


async def test_a_bad_key_is_not_passed_over_for_a_good_cookie(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    session = await authenticator.login("taro", PASSWORD, HERE)
    with pytest.raises(NotIdentified):
        await authenticator.identify({"cookie": f"__Host-so8t={session.token}", "x-api-key": "so8t_old"}, HERE)


async def test_wrong_name_and_wrong_password_look_the_same(authenticator: Any, taro: Any, monkeypatch: Any) -> None:
    """Same error, same number of hashes verified; also for a disabled account and one without a password."""
    await taro(authenticator)
    for name, password in (("idle", PASSWORD), ("sso", None)):
        await authenticator.accounts.add(name, roles={Role.USER}, clearance="公開", by="root", password=password)
    await authenticator.accounts.disable("idle", by="root")
    verified: list[str] = []
    real = argon2.PasswordHasher.verify

    def counted(self: Any, stored: str, password: bytes) -> bool:
        verified.append(stored.rsplit("$", 2)[0])
        return real(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    said, hashed = set(), set()
    tries = [("taro", "wrong password"), ("nobody", PASSWORD), ("idle", PASSWORD), ("sso", ""), ("a\r\nb", "x")]
    for number, (name, password) in enumerate(tries):
        verified.clear()
        with pytest.raises(NotIdentified) as caught:
            await authenticator.login(name, password, f"10.0.0.{number}")
        said.add(str(caught.value))
        hashed.add(tuple(verified))
    assert len(said) == 1 and len(hashed) == 1 and len(hashed.pop()) == 1


async def test_guessing_a_password_shuts_the_door(authenticator: Any, taro: Any, ledger: Any, clock: Any) -> None:
    await taro(authenticator)
    for _ in range(5):
        with pytest.raises(NotIdentified):
            await authenticator.login("taro", "wrong password", HERE)
        clock.value += 8
    with pytest.raises(TooManyAttempts) as caught:
        await authenticator.login("taro", PASSWORD, HERE)  # right, but during the lock
    assert 800 < caught.value.seconds <= 900
    assert ledger.events.count("login_refused") == 5
    assert ledger.entries[-1] == (
        "locked", {"actor": None, "address": HERE, "name": "taro", "by": ["pair"], "minutes": 15.0},
    )  # fmt: skip
    assert (await authenticator.login("taro", PASSWORD, THERE)).identity.name == "taro"
    clock.value += 900
    assert (await authenticator.login("taro", PASSWORD, HERE)).identity.name == "taro"


async def test_spelling_is_no_way_round(authenticator: Any, taro: Any, clock: Any) -> None:
    await taro(authenticator)
    for spelling in ("taro", "TARO", "ｔａｒｏ", " taro ", "Taro"):
        with pytest.raises(NotIdentified):
            await authenticator.login(spelling, "wrong password", HERE)
        clock.value += 8
    with pytest.raises(TooManyAttempts):
        await authenticator.login("tarO", PASSWORD, HERE)


async def test_a_hundred_logins_at_once(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    tries = (authenticator.login("taro", f"wrong password {n}", HERE) for n in range(100))
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(d, NotIdentified) for d in done) == 1
    assert sum(isinstance(d, TooManyAttempts) for d in done) == 99


async def test_nothing_secret_anywhere(authenticator: Any, taro: Any, ledger: Any, caplog: Any, capsys: Any) -> None:
    """A password typed as the name is a password too."""
    await taro(authenticator)
    key = await authenticator.keys.issue("taro", by="root")
    session = await authenticator.login("taro", PASSWORD, HERE)
    said = []
    for act in (
        authenticator.login(PASSWORD, "taro", THERE),
        authenticator.login("taro", "my other password", THERE),
        authenticator.identify({"x-api-key": key.secret + "x"}, THERE),
        authenticator.identify({"cookie": f"__Host-so8t={session.token}; __Host-so8t={session.token}"}, THERE),
        authenticator.accounts.add("jiro", roles={Role.USER}, clearance="公開", by="root", password="jiro-secret-1"),
    ):
        with pytest.raises(Exception) as caught:
            await act
        said.append(str(caught.value) + repr(caught.value) + str(vars(caught.value)))
    text = "".join([*said, str(ledger.entries), caplog.text, *capsys.readouterr(), repr(session), repr(key)])
    text += repr(authenticator.accounts.list()) + repr(authenticator.keys.list()) + repr(authenticator.sessions.list())
    for secret in (
        PASSWORD,
        "my other password",
        key.secret,
        key.secret[-43:],
        session.token,
        session.csrf,
        "jiro-secret-1",
    ):
        assert secret not in text


async def test_requests_per_minute_are_ones_own(make: Any, taro: Any, clock: Any) -> None:
    authenticator = make(requests_per_minute=10)
    await taro(authenticator)
    await authenticator.accounts.add("hanako", roles={Role.USER}, clearance="公開", by="root")
    keys = [(await authenticator.keys.issue(n, by="root")).secret for n in ("taro", "taro", "hanako")]
    for n in range(10):
        await authenticator.identify({"x-api-key": keys[n % 2]}, HERE)
    with pytest.raises(TooManyRequests) as caught:
        await authenticator.identify({"x-api-key": keys[0]}, HERE)
    assert caught.value.seconds == 6
    await authenticator.identify({"x-api-key": keys[2]}, HERE)
    clock.value += 6
    await authenticator.identify({"x-api-key": keys[1]}, HERE)


async def test_weaker_hashes_are_renewed(make: Any, taro: Any, ledger: Any, tmp_path: Path) -> None:
    await taro(make())
    stronger = make()
    stronger._passwords._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    await stronger.login("taro", PASSWORD, HERE)
    assert "t=2" in stronger.accounts.stored_password("taro") and "password_rehashed" in ledger.events
    await stronger.login("taro", PASSWORD, HERE)
    assert ledger.events.count("password_rehashed") == 1


@pytest.mark.parametrize("change", ["password", "disabled"])
async def test_what_changes_while_the_hash_is_reckoned(make: Any, taro: Any, tmp_path: Path, change: str) -> None:
    """By another process, which this one only sees through the file."""
    authenticator, desk = make(), Store(tmp_path / "users.db", None)
    await taro(authenticator)
    accounts, real = Accounts(desk, Passwords(CHEAPEST), Levels), authenticator._passwords.verify

    async def slow(stored: str | None, password: str) -> Any:
        if change == "password":
            await accounts.set_password("taro", "another good phrase", by="cli:root")
        else:
            await accounts.disable("taro", by="cli:root")
        return await real(stored, password)

    authenticator._passwords.verify = slow
    with pytest.raises(NotIdentified):
        await authenticator.login("taro", PASSWORD, HERE)
    assert authenticator.sessions.list() == []
    desk.close()


async def test_ones_own_password_needs_the_old_one(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    session = await authenticator.login("taro", PASSWORD, HERE)
    with pytest.raises(NotIdentified):
        await authenticator.change_password(session, "not the old one", "another good phrase", THERE)
    await authenticator.change_password(session, PASSWORD, "another good phrase", HERE)
    with pytest.raises(NotIdentified):
        await authenticator.login("taro", PASSWORD, "10.0.0.1")
    await authenticator.login("taro", "another good phrase", HERE)


async def test_a_file_that_cannot_be_read_lets_nobody_in(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    key = await authenticator.keys.issue("taro", by="root")
    await authenticator.identify({"x-api-key": key.secret}, HERE)
    authenticator._store._reader.close()
    with pytest.raises(AccountsUnavailable):
        await authenticator.identify({"x-api-key": key.secret}, HERE)


async def test_logins_wait_for_no_lock_that_stays(make: Any, taro: Any, tmp_path: Path) -> None:
    authenticator = make()
    await taro(authenticator)
    authenticator._store._writer.set_busy_timeout(50)
    other = apsw.Connection(str(tmp_path / "users.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AccountsUnavailable):
        await authenticator.login("taro", PASSWORD, HERE)
    other.execute("ROLLBACK")
    other.close()
    assert authenticator.sessions.list() == []


def test_a_broken_file_stops_the_start(tmp_path: Path, make: Any) -> None:
    (tmp_path / "users.db").write_bytes(b"x" * 9000)
    with pytest.raises(AccountsBroken) as caught:
        make()
    assert "控え" in caught.value.render("ja") and "backup" in caught.value.render("en")


async def test_what_was_changed_while_no_server_ran(make: Any, ledger: Any, tmp_path: Path) -> None:
    desk = Store(tmp_path / "users.db", None)
    accounts = Accounts(desk, Passwords(CHEAPEST), Levels)
    await accounts.add("taro", roles={Role.ADMIN}, clearance="公開", by="cli:root", password=PASSWORD)
    desk.close()
    await make().start()
    assert ledger.events == ["user_added"] and ledger.entries[0][1]["actor"] == "cli:root"


async def test_the_surface_the_server_uses(authenticator: Authenticator, taro: Any) -> None:
    await taro(authenticator)
    key = await authenticator.keys.issue("taro", by="root")
    headers = authenticator.read([(b"Host", b"127.0.0.1:8008"), (b"Authorization", f"Bearer {key.secret}".encode())])
    identity = await authenticator.identify(headers, "127.0.0.1")
    identity.require(Role.USER)
