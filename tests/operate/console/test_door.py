"""Coming in by password, by the company's provider, by the proxy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_browser import Browser
from console_server import PASSWORD, Server, config, serving
from office_server import SCORES

from so8t.ask.backend import FakeBackend
from so8t.core.errors import NotPermitted, ProviderFailed
from so8t.core.serve_config import GroupConfig, OidcConfig, ProxyConfig
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Identity, Role


def test_led_to_the_door_and_back(browse: Callable[..., Any]) -> None:
    browser = browse()
    answer = browser.client.get("/console/audit?kind=decision")
    assert answer.headers["location"] == "/console/login?next=%2Fconsole%2Faudit%3Fkind%3Ddecision"
    page = browser.get("/console/audit?kind=decision").text
    assert 'name="next" value="/console/audit?kind=decision"' in page and 'type="password"' in page
    assert "/console/login/oidc" not in page
    fields = {"name": "kansa", "password": PASSWORD, "next": "/console/audit?kind=decision"}
    assert browser.post("/console/login", fields, csrf="").headers["location"] == "/console/audit?kind=decision"
    assert browser.client.get("/console/login?next=%2Fconsole%2Fpolicy").headers["location"] == "/console/policy"


def test_a_wrong_name_and_a_wrong_password_look_alike(browse: Callable[..., Any]) -> None:
    answers = [browse().login(*pair) for pair in (("sato", "ちがうあいことばです"), ("nobody", PASSWORD), ("", ""))]
    assert {a.status_code for a in answers} == {401} and len({a.text for a in answers}) == 1
    assert "set-cookie" not in answers[0].headers and 'role="alert"' in answers[0].text


def test_who_has_no_page_gets_his_own(browse: Callable[..., Any]) -> None:
    assert str(browse("shonin").get("/console").url).endswith("/console/review")
    assert str(browse("kanri").get("/console").url).endswith("/console/policy")


def test_ones_own_password(browse: Callable[..., Any]) -> None:
    user, elsewhere = browse("sato"), browse("sato")
    new = "あたらしい 合言葉 七つ"
    for fields, status in (
        ({"old": PASSWORD, "new": new, "again": new + "x"}, 400),
        ({"old": PASSWORD, "new": "short", "again": "short"}, 400),
    ):
        answer = user.post("/console/account/password", fields)
        assert answer.status_code == status and 'role="alert"' in answer.text
    assert user.post("/console/account/password", {"old": PASSWORD, "new": new, "again": new}).status_code == 303
    assert elsewhere.client.get("/console/chat").status_code == 303
    assert user.login("sato", new).status_code == 303
    answer = user.post("/console/account/password", {"old": PASSWORD, "new": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 401 and 'role="alert"' in answer.text


def test_out_everywhere(browse: Callable[..., Any]) -> None:
    user, elsewhere = browse("sato"), browse("sato")
    assert user.get("/console/account").text.count("127.0.0.1") == 2
    assert user.post("/console/account/logout").status_code == 303
    assert elsewhere.client.get("/console/chat").status_code == 303


PROXY = {
    "proxy": ProxyConfig(addresses=("127.0.0.1",)),
    "groups": (GroupConfig("staff", ("user",), "社内限定"),),
}
COOKIE = "__Host-so8t"  # as over TLS, which ends at the proxy


def test_behind_the_proxy_one_is_in(tmp_path: Path) -> None:
    with serving(tmp_path, FakeBackend(SCORES), config(tmp_path, **PROXY)) as server:
        browser = Browser(server, **{"x-remote-user": "hanako", "x-remote-groups": "staff"})
        page = browser.get("/console/login").text
        assert "hanako" in page and 'type="password"' not in page and browser.client.cookies[COOKIE]
        assert "会議" in browser.ask("会議の議事録を三行にまとめてください。").text
        cookie = browser.client.cookies[COOKIE]
        others = Browser(server, **{"x-remote-user": "jiro", "x-remote-groups": "staff"})
        others.client.cookies.set(COOKIE, cookie, domain="127.0.0.1", path="/")
        answer = others.client.post("/console/chat", data={"query": "x", "csrf": browser.csrf()},
                                    headers={"sec-fetch-site": "same-origin"})  # fmt: skip
        assert answer.status_code == 403
        bare = Browser(server)
        bare.client.cookies.set(COOKIE, cookie, domain="127.0.0.1", path="/")
        assert bare.client.get("/console/chat").status_code == 303
        nobody = Browser(server, **{"x-remote-user": "gai", "x-remote-groups": "others"})
        assert nobody.get("/console/login").status_code == 403
        for one in (browser, others, bare, nobody):
            one.client.close()


@pytest.fixture
def company(tmp_path: Path) -> Any:
    issuer = OidcConfig(issuer="https://login.example", address="https://127.0.0.1:1", client_id="so8t")
    settings = config(tmp_path, oidc=issuer, groups=(GroupConfig("staff", ("user",), "社内限定"),))
    with serving(tmp_path, FakeBackend(SCORES), settings) as server:
        browser = Browser(server)
        yield server, browser
        browser.client.close()


def test_the_companys_provider(company: tuple[Server, Browser], monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider itself is tested in tests/operate/identity; here, what the browser is told on the way."""
    _, browser = company
    asked: list[Any] = []

    async def oidc_url(self: Authenticator, redirect_uri: str) -> tuple[str, str]:
        asked.append(redirect_uri)
        return "https://login.example/authorize?x=1", "so8t-oidc=v; Path=/; HttpOnly; SameSite=Lax"

    async def finish(self: Authenticator, query: Any, headers: Any, address: str) -> Any:
        asked.append((query, headers["cookie"]))
        who = Identity("taro", frozenset({Role.USER}), "社内限定", "oidc")
        return await self.sessions.open(who, address)

    monkeypatch.setattr(Authenticator, "oidc_url", oidc_url)
    monkeypatch.setattr(Authenticator, "finish_oidc", finish)
    assert 'href="/console/login/oidc"' in browser.get("/console/login").text
    answer = browser.client.get("/console/login/oidc")
    assert (
        answer.headers["location"] == "https://login.example/authorize?x=1"
        and "so8t-oidc=v" in answer.headers["set-cookie"]
    )
    assert asked[0].endswith("/console/login/oidc/return")
    answer = browser.client.get("/console/login/oidc/return?code=c&state=s")
    assert (
        answer.status_code == 200
        and 'content="0;url=/console"' in answer.text
        and "so8t=" in answer.headers["set-cookie"]
    )
    assert asked[1][0] == {"code": "c", "state": "s"} and "so8t-oidc=v" in asked[1][1]
    assert "taro" in browser.get("/console/chat").text
    assert "パスワードを変える" not in browser.get("/console/account").text


@pytest.mark.parametrize("error", [NotPermitted(detail="<b>"), ProviderFailed(detail="down")])
def test_the_providers_no(company: tuple[Server, Browser], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _, browser = company

    async def finish(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Authenticator, "finish_oidc", finish)
    answer = browser.client.get("/console/login/oidc/return?code=c&state=s")
    assert answer.status_code in (403, 502) and 'role="alert"' in answer.text and "<b><" not in answer.text
    assert not re.search("so8t=", answer.headers.get("set-cookie", ""))


def test_without_a_provider_there_is_no_such_door(browse: Callable[..., Any]) -> None:
    assert browse().get("/console/login/oidc").status_code >= 400
