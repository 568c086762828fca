"""The console's cookie: new at every login, ends when it should, worth nothing without its CSRF token."""

from __future__ import annotations

from typing import Any

import pytest

from so8t.core.errors import LedgerUnavailable, NotIdentified, NotPermitted
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.identity.sessions import MAX_EACH

PASSWORD = "垣根の曲り角 たき火"
HERE = "192.168.1.20"


def cookies(session: Any, name: str = "__Host-so8t") -> dict[str, str]:
    return {"cookie": f"theme=dark; {name}={session.token}"}


async def test_login_use_logout(authenticator: Any, taro: Any, ledger: Any) -> None:
    await taro(authenticator)
    session = await authenticator.login("TARO", PASSWORD, HERE)
    assert session.identity.method == "password" and session.identity.name == "taro"
    identity = await authenticator.identify(cookies(session), HERE)
    assert (identity.name, identity.method, identity.clearance) == ("taro", "session", "社内限定")
    again = await authenticator.session(cookies(session), HERE)
    assert again.csrf == session.csrf and again.id == session.id
    await authenticator.logout(again)
    with pytest.raises(NotIdentified):
        await authenticator.identify(cookies(session), HERE)
    assert ledger.events == ["user_added", "session_opened", "session_closed"]
    assert session.token not in repr(session) + str(ledger.entries) and session.csrf not in repr(session)


async def test_the_cookie_is_locked_down(make: Any, taro: Any) -> None:
    over_tls, plain = make(secure=True, session_minutes=60.0), make(secure=False)
    await taro(over_tls)
    session = await over_tls.login("taro", PASSWORD, HERE)
    assert over_tls.set_cookie(session) == (
        f"__Host-so8t={session.token}; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"
    )
    assert over_tls.clear_cookie() == "__Host-so8t=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
    assert plain.set_cookie(session).startswith("so8t=") and "Secure" not in plain.set_cookie(session)
    assert (await plain.identify(cookies(session, "so8t"), HERE)).name == "taro"
    with pytest.raises(NotIdentified):  # a cookie that any subdomain may set is not looked at over TLS
        await over_tls.identify(cookies(session, "so8t"), HERE)


async def test_a_planted_cookie_never_becomes_anybodys(authenticator: Any, taro: Any) -> None:
    """Session fixation: the login ignores what was sent and makes its own."""
    await taro(authenticator)
    planted = "A" * 43
    session = await authenticator.login("taro", PASSWORD, HERE)
    other = await authenticator.login("taro", PASSWORD, HERE)
    assert len({planted, session.token, other.token}) == 3 and session.csrf != other.csrf
    with pytest.raises(NotIdentified):
        await authenticator.identify({"cookie": f"__Host-so8t={planted}"}, HERE)
    with pytest.raises(NotIdentified):  # tossed beside the real one
        await authenticator.identify({"cookie": f"__Host-so8t={planted}; __Host-so8t={session.token}"}, HERE)


@pytest.mark.parametrize("given", ["", "x", "\ud800", "A" * 43])
async def test_csrf_mismatch(authenticator: Any, taro: Any, given: str) -> None:
    await taro(authenticator)
    session = await authenticator.login("taro", PASSWORD, HERE)
    other = await authenticator.login("taro", PASSWORD, HERE)
    session.require_csrf(session.csrf)
    for wrong in (given, session.token, other.csrf, session.csrf[:-1]):
        with pytest.raises(NotPermitted, match="CSRF"):
            session.require_csrf(wrong)


async def test_idle_and_absolute_end(make: Any, taro: Any, clock: Any) -> None:
    authenticator = make(session_minutes=60.0, idle_minutes=10.0, requests_per_minute=0)
    await taro(authenticator)
    idle, busy = [await authenticator.login("taro", PASSWORD, HERE) for _ in range(2)]
    for _ in range(11):
        clock.value += 300
        await authenticator.identify(cookies(busy), HERE)
    with pytest.raises(NotIdentified):
        await authenticator.identify(cookies(idle), HERE)
    clock.value += 300
    with pytest.raises(NotIdentified):
        await authenticator.identify(cookies(busy), HERE)
    assert authenticator.sessions.list("taro") == []


async def test_a_clock_set_back_makes_no_session_young_again(make: Any, taro: Any, clock: Any) -> None:
    authenticator = make(session_minutes=60.0)
    await taro(authenticator)
    session = await authenticator.login("taro", PASSWORD, HERE)
    clock.value -= 60
    await authenticator.identify(cookies(session), HERE)
    clock.value -= 3600
    with pytest.raises(NotIdentified):
        await authenticator.identify(cookies(session), HERE)


async def test_what_ends_all_sessions(authenticator: Any, taro: Any) -> None:
    await taro(authenticator)
    await authenticator.accounts.add("boss", roles={Role.ADMIN}, clearance="極秘", by="root", password=PASSWORD)
    boss = await authenticator.login("boss", PASSWORD, HERE)

    async def everywhere(session: Any) -> None:
        await authenticator.logout_everywhere(session)

    async def changed(session: Any) -> None:
        await authenticator.change_password(session, PASSWORD, "another good phrase", HERE)
        await authenticator.accounts.set_password("taro", PASSWORD, "root")

    async def disabled(session: Any) -> None:
        await authenticator.accounts.disable("taro", "boss")
        await authenticator.accounts.enable("taro", "boss")

    for act in (everywhere, changed, disabled):
        sessions = [await authenticator.login("taro", PASSWORD, HERE) for _ in range(2)]
        await act(sessions[0])
        for session in sessions:
            with pytest.raises(NotIdentified):
                await authenticator.identify(cookies(session), HERE)
    assert (await authenticator.identify(cookies(boss), HERE)).name == "boss"


async def test_a_lesser_role_holds_at_once(authenticator: Any, taro: Any) -> None:
    await taro(authenticator, Role.USER, Role.REVIEWER)
    session = await authenticator.login("taro", PASSWORD, HERE)
    await authenticator.accounts.change("taro", by="root", roles={Role.USER}, clearance="公開")
    identity = await authenticator.identify(cookies(session), HERE)
    assert identity.roles == {Role.USER} and identity.clearance == "公開"


async def test_a_directorys_word_holds_for_the_session(authenticator: Any, taro: Any) -> None:
    identity = Identity("hanako", frozenset({Role.REVIEWER}), "部外秘", "oidc", frozenset({"so8t-reviewers"}))
    session = await authenticator.sessions.open(identity, HERE)
    found = await authenticator.identify(cookies(session), HERE)
    assert found.roles == {Role.REVIEWER} and found.groups == {"so8t-reviewers"} and found.method == "session"
    await authenticator.accounts.add("hanako", roles={Role.USER}, clearance="公開", by="root")
    await authenticator.accounts.disable("hanako", by="root")
    with pytest.raises((NotIdentified, NotPermitted)):
        await authenticator.identify(cookies(session), HERE)


async def test_the_longest_unused_gives_way(authenticator: Any, taro: Any, clock: Any) -> None:
    await taro(authenticator)
    made = []
    for _ in range(MAX_EACH + 3):
        clock.value += 1
        made.append(await authenticator.login("taro", PASSWORD, HERE))
    assert len(authenticator.sessions.list("TARO")) == MAX_EACH
    with pytest.raises(NotIdentified):
        await authenticator.identify(cookies(made[2]), HERE)
    await authenticator.identify(cookies(made[3]), HERE)


async def test_no_record_no_session(authenticator: Any, taro: Any, ledger: Any) -> None:
    await taro(authenticator)
    ledger.fails = True
    with pytest.raises(LedgerUnavailable):
        await authenticator.login("taro", PASSWORD, HERE)
    assert authenticator.sessions.list() == []


async def test_the_database_holds_no_token(authenticator: Any, taro: Any, tmp_path: Any) -> None:
    await taro(authenticator)
    session = await authenticator.login("taro", PASSWORD, HERE)
    raw = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.name.startswith("users.db"))
    assert session.id.encode() in raw
    assert not any(secret.encode() in raw for secret in (session.token, session.csrf, PASSWORD))
