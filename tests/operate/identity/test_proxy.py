"""Header mode: believed from the pinned peer alone, one name, one spelling."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import ConfigValueInvalid, NotIdentified, NotPermitted, TooManyAttempts
from so8t.core.serve_config import ProxyConfig
from so8t.operate.identity.identity import Role
from so8t.operate.identity.proxy import Proxy

PEER, HERE = "10.0.0.9", "192.168.1.20"
CONFIG = ProxyConfig((PEER, "fd00::9"))


def says(user: str, groups: str | None = None) -> dict[str, str]:
    return {"x-remote-user": user, **({} if groups is None else {"x-remote-groups": groups})}


@pytest.mark.parametrize("raw", ["EXAMPLE\\taro", "taro@example.co.jp", "taro", " taro ", "ＴＡＲＯ"])
def test_one_person_however_written(raw: str) -> None:
    asserted = Proxy(CONFIG).asserted(says(raw, "A, B"), PEER)
    assert asserted is not None and asserted.name.lower() == "taro" and asserted.groups == ("A", "B")


def test_utf8_as_asgi_delivers_it() -> None:
    asserted = Proxy(CONFIG).asserted(says("EXAMPLE\\山田".encode().decode("latin-1")), PEER)
    assert asserted is not None and asserted.name == "山田"
    with pytest.raises(NotIdentified):
        Proxy(CONFIG).asserted(says("\xff\xfe"), PEER)


@pytest.mark.parametrize(
    "raw",
    ["", " ", "taro, admin", "taro;admin", "a\\b\\taro", "\\taro", "EXAMPLE\\", "@x", "taro@", "taro@a@b", "ta\r\nro",
     "ta\x00ro", "ta\u202ero", "x" * 2000, "EXAMPLE\\taro@other", "cn=taro"],
)  # fmt: skip
def test_what_names_nobody(raw: str) -> None:
    with pytest.raises(NotIdentified) as caught:
        Proxy(CONFIG).asserted(says(raw), PEER)
    assert len(raw) < 5 or raw not in str(caught.value)


def test_domains_that_are_not_ours() -> None:
    proxy = Proxy(ProxyConfig((PEER,), domains=("EXAMPLE", "example.co.jp")))
    for raw in ("example\\taro", "taro@EXAMPLE.co.jp", "taro"):
        assert proxy.asserted(says(raw), PEER) is not None
    for raw in ("OTHER\\taro", "taro@evil.example"):
        with pytest.raises(NotIdentified, match="domain"):
            proxy.asserted(says(raw), PEER)


def test_believed_from_the_pinned_peer_alone() -> None:
    proxy = Proxy(CONFIG)
    assert proxy.asserted(says("taro"), "::ffff:10.0.0.9") and proxy.asserted(says("taro"), "fd00:0::9")
    for address in (HERE, "10.0.0.90", "", "localhost", "127.0.0.1", "10.0.0.9, 1.2.3.4"):
        with pytest.raises(NotIdentified):
            proxy.asserted(says("taro"), address)
    with pytest.raises(NotIdentified):  # groups without a user
        proxy.asserted({"x-remote-groups": "A"}, PEER)
    assert proxy.asserted({}, HERE) is None and proxy.asserted({}, PEER) is None


def test_off_is_off() -> None:
    proxy = Proxy(ProxyConfig())
    assert proxy.asserted(says("taro"), HERE) is None and not proxy.is_pinned("") and proxy.once == frozenset()
    for address in ("proxy.example", "10.0.0.0/8", ""):
        with pytest.raises(ConfigValueInvalid):
            Proxy(ProxyConfig((address,)))


@given(st.text(max_size=60), st.sampled_from([PEER, HERE]))
def test_no_text_is_taken_for_two(raw: str, address: str) -> None:
    try:
        asserted = Proxy(CONFIG).asserted(says(raw), address)
    except NotIdentified:
        return
    assert asserted is not None and address == PEER
    assert not set(asserted.name) & set("\r\n,;\\@/")


async def test_accounts_first_then_groups(make: Any, taro: Any) -> None:
    authenticator = make(proxy=CONFIG)
    await taro(authenticator, Role.AUDITOR, password=None)
    identity = await authenticator.identify(says("EXAMPLE\\TARO", "so8t-reviewers"), PEER)
    assert (identity.name, identity.roles, identity.method) == ("taro", {Role.AUDITOR}, "proxy")
    identity = await authenticator.identify(says("HANAKO", "Sales, SO8T-Reviewers"), PEER)
    assert identity.name == "hanako", "one spelling in the ledger, one bucket of requests"
    assert identity.roles == {Role.USER, Role.REVIEWER} and identity.clearance == "部外秘"
    for groups in (None, "", "Sales"):
        with pytest.raises(NotPermitted):
            await authenticator.identify(says("jiro", groups), PEER)
    await authenticator.accounts.disable("taro", by="root")
    with pytest.raises(NotPermitted):
        await authenticator.identify(says("taro", "so8t-reviewers"), PEER)


async def test_a_forged_header_is_recorded_and_slowed(make: Any, ledger: Any, taro: Any) -> None:
    authenticator = make(proxy=CONFIG)
    await taro(authenticator)
    key = await authenticator.keys.issue("taro", by="root")
    with pytest.raises(NotIdentified):  # a good key does not heal it
        await authenticator.identify({**says("boss"), "x-api-key": key.secret}, HERE)
    assert ledger.entries[-1] == (
        "proxy_header_refused", {"actor": None, "address": HERE, "why": "x-remote-user"},
    )  # fmt: skip
    for _ in range(100):
        with pytest.raises((NotIdentified, TooManyAttempts)):
            await authenticator.identify(says("boss"), HERE)
    assert ledger.events.count("proxy_header_refused") <= 20


async def test_twice_is_refused_when_read(make: Any) -> None:
    with pytest.raises(NotIdentified):
        make(proxy=CONFIG).read([(b"X-Remote-User", b"taro"), (b"x-remote-user", b"boss")])
    with pytest.raises(NotIdentified):
        make(proxy=CONFIG).read([(b"X-Remote-Groups", b"a"), (b"X-Remote-Groups", b"b")])


async def test_the_proxys_clients_are_not_locked_together(make: Any, taro: Any) -> None:
    authenticator = make(proxy=CONFIG)
    await taro(authenticator)
    key = await authenticator.keys.issue("taro", by="root")
    for _ in range(60):
        with pytest.raises((NotIdentified, TooManyAttempts)):
            await authenticator.identify({"x-api-key": "so8t_wrong"}, PEER)
    assert (await authenticator.identify({"x-api-key": key.secret}, PEER)).method == "key"
    assert (await authenticator.identify(says("taro"), PEER)).method == "proxy"


async def test_a_session_behind_the_proxy_is_its_own_persons(make: Any, taro: Any) -> None:
    authenticator = make(proxy=CONFIG)
    await taro(authenticator)
    identity = await authenticator.identify(says("taro"), PEER)
    session = await authenticator.open_session(identity, PEER)
    cookie = {"cookie": f"__Host-so8t={session.token}"}
    found = await authenticator.session({**says("taro"), **cookie}, PEER)
    found.require_csrf(session.csrf)
    with pytest.raises(NotIdentified):
        await authenticator.session({**says("hanako", "so8t-users"), **cookie}, PEER)
    with pytest.raises(NotPermitted):
        await authenticator.open_session(dataclasses.replace(identity, method="key"), PEER)
    with pytest.raises(NotIdentified):  # the cookie alone, carried round the proxy
        await authenticator.identify(cookie, HERE)
    with pytest.raises(NotIdentified):
        await authenticator.session(cookie, HERE)
