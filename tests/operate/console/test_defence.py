"""What a hostile page, a hostile text or a stolen half of a session can do to the console: nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from console_browser import Browser
from console_server import PASSWORD, Server
from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.console.routes import PAGES
from so8t.operate.console.visit import local
from so8t.operate.identity.identity import Role

PLAIN, HANDED = "会議の議事録を三行にまとめてください。", "人に聞くべき契約の件です。"
ALL = {Role.USER, Role.REVIEWER, Role.AUDITOR, Role.ADMIN}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}</textarea></title>\u202e"
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def chief(server: Server, browse: Callable[..., Any]) -> Browser:
    """Somebody with every role, so that only the form's own defence is in the way."""
    server.do(
        server.running.authenticator.accounts.add("chief", roles=ALL, clearance="極秘", by="t", password=PASSWORD)
    )
    made: Browser = browse("chief")
    return made


POSTS = [page.path for page in PAGES if page.method == "POST"]


@pytest.mark.parametrize("path", POSTS)
def test_no_form_without_its_token_and_its_page(
    server: Server, chief: Browser, browse: Callable[..., Any], path: str
) -> None:
    token, others = chief.csrf(), browse("sato").csrf()
    head = server.running.gateway.ledger.head.seq
    path = f"/console{path}".replace("{seq}", "1")
    fields = {"name": "sato", "query": PLAIN, "decision": "DENY", "to": "disable", "password": "ながいながい合言葉だ"}
    for csrf, headers in (
        ("", SAME), ("x" * 43, SAME), (others, SAME), (token[:-1], SAME), (token, {"sec-fetch-site": "cross-site"}),
        (token, {"sec-fetch-site": "same-site"}), (token, {"sec-fetch-site": "none"}), (token, {}),
        (token, {"origin": "https://evil.example"}), (token, {"origin": "null"}),
        (token, {"origin": server.address.replace("http:", "https:") + ".evil.example"}),
        (token, {"origin": "http://127.0.0.1:1"}),
    ):  # fmt: skip
        answer = chief.post(path, fields, csrf=csrf, headers=headers)
        assert answer.status_code == 403 and "<h1>" in answer.text, (csrf, headers)
    assert chief.client.get(path, headers={"accept": "text/html"}).status_code in (200, 303, 400, 403, 404, 405)
    assert chief.get("/console/account").status_code == 200
    assert server.running.gateway.ledger.head.seq == head


def test_an_old_browser_may_show_its_origin(server: Server, chief: Browser) -> None:
    answer = chief.post(
        "/console/chat", {"query": PLAIN, "after": "", "classification": ""}, headers={"origin": server.address}
    )
    assert answer.status_code == 303


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}])
def test_nobody_is_logged_in_by_another_page(browse: Callable[..., Any], headers: dict[str, str]) -> None:
    browser = browse()
    assert browser.login("sato", headers=headers).status_code == 403 and not browser.client.cookies


def test_a_planted_cookie_is_nobodys(browse: Callable[..., Any]) -> None:
    """Session fixation: what was there before a login is not what is there after it, and does not come alive."""
    victim, attacker = browse(), browse()
    planted = "A" * 43
    for browser in (victim, attacker):
        browser.client.cookies.set("so8t", planted, domain="127.0.0.1", path="/")
    victim.client.cookies.clear()
    answer = victim.client.post(
        "/console/login", data={"name": "sato", "password": PASSWORD, "next": "/console"},
        headers=SAME | {"cookie": f"so8t={planted}"},
    )  # fmt: skip
    cookie = answer.headers["set-cookie"]
    assert planted not in cookie and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert attacker.client.get("/console/chat").status_code == 303
    first = victim.client.cookies["so8t"]
    victim.login("sato")
    assert victim.client.cookies["so8t"] != first


def test_logged_out_is_out(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    token, cookie = user.csrf(), user.client.cookies["so8t"]
    assert user.client.get("/console/logout").status_code == 404  # a link does not log anybody out
    answer = user.post("/console/logout")
    assert answer.status_code == 303 and "Max-Age=0" in answer.headers["set-cookie"]
    user.client.cookies.set("so8t", cookie, domain="127.0.0.1", path="/")
    assert user.client.get("/console/chat").headers["location"].startswith("/console/login")
    assert user.post("/console/chat", {"query": PLAIN}, csrf=token).status_code == 401


def test_a_cookie_twice_is_no_cookie(browse: Callable[..., Any]) -> None:
    cookie = browse("sato").client.cookies["so8t"]
    stranger = browse()
    answer = stranger.client.get("/console/chat", headers={"cookie": f"so8t={cookie}; so8t={'A' * 43}"})
    assert answer.status_code == 303 and "login" in answer.headers["location"]


def test_a_key_opens_no_page(server: Server, browse: Callable[..., Any]) -> None:
    key = server.do(server.running.authenticator.keys.issue("sato", by="t")).secret
    stranger = browse()
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert stranger.client.get("/console/chat", headers=headers).status_code == 303
        assert stranger.client.post("/console/chat", data={"query": PLAIN}, headers=headers | SAME).status_code == 401
    assert browse("kanri").client.get("/console/chat", headers={"x-api-key": key}).status_code == 303


def test_every_answer_forbids_what_a_hostile_page_needs(chief: Browser) -> None:
    seq = chief.seq_asked(PLAIN)
    for path in ("/login", "/chat", f"/chat?after={seq}", "/audit", "/users", "/nothing", "/training", "/review/999"):
        headers = chief.client.get(f"/console{path}", headers={"accept": "text/html"}, follow_redirects=True).headers
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'",
                     "base-uri 'none'", "form-action 'self'"):  # fmt: skip
            assert part in policy
        assert "unsafe" not in policy and "*" not in policy
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "same-origin"


def test_no_inline_script_or_style_anywhere(chief: Browser, server: Server) -> None:
    seq = chief.seq_asked(HANDED)
    paths = [
        f"/console{p.path}".replace("{seq}", str(seq)) for p in PAGES if p.method == "GET" and p.path != "/model/card"
    ]
    for path in (*paths, "/console/login", "/console/nothing"):
        text = chief.get(path, params={"name": "sato"} if path.endswith("account") else None).text
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", text), path
        assert all('src="/console/static/' in tag for tag in re.findall(r"<script[^>]*>", text))
        assert not re.search(r'(?:href|src|action)="(?!/console|#main")', text), path


def test_another_host_is_refused(server: Server) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall(
            b"GET /console/login HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        )
        assert b" 421 " in s.recv(65536)


@pytest.mark.parametrize("target", [
    "https://evil.example", "//evil.example", "/\\evil.example", "/console//evil.example", "/console/../x",
    "/v1/models", "javascript:alert(1)", "/console/x\r\nSet-Cookie: a=b", "/consolex",
    "/console?next=//x", "/console/@evil", "",
])  # fmt: skip
def test_no_open_redirect(browse: Callable[..., Any], target: str) -> None:
    assert local(target) == "/console"
    browser = browse()
    answer = browser.post("/console/login", {"name": "sato", "password": PASSWORD, "next": target}, csrf="")
    assert answer.headers["location"] == "/console" and answer.headers.get_list("set-cookie")[0].startswith("so8t=")
    answer = browser.post("/console/language", {"to": "en", "next": target}, csrf="")
    assert answer.headers["location"] == "/console"
    assert local("/console/audit?kind=decision&before=5") == "/console/audit?kind=decision&before=5"


@given(st.one_of(st.text(), st.from_regex(r"/console[/\\\\?@:.a-z]{0,20}", fullmatch=True)))
def test_a_place_to_come_back_to_is_always_ours(text: str) -> None:
    place = urlsplit(urljoin("http://so8t.example", local(text)))
    assert place.netloc == "so8t.example" and re.match(r"/console(/|$)", place.path)


BAD_FORMS: dict[str, tuple[bytes, str, int]] = {
    "json": (b"{}", "application/json", 400),
    "multipart": (b"--x", "multipart/form-data; boundary=x", 400),
    "no kind": (b"a=b", "", 400),
    "bad utf-8": (b"csrf=%ff%fe", "application/x-www-form-urlencoded", 400),
    "surrogate": (b"csrf=%ed%a0%80", "application/x-www-form-urlencoded", 400),
    "raw bytes": (b"csrf=\xff", "application/x-www-form-urlencoded", 400),
    "many fields": (b"a=b&" * 1000, "application/x-www-form-urlencoded", 400),
    "too long": (b"query=" + b"a" * 600_000, "application/x-www-form-urlencoded", 413),
    "twice": (b"csrf=a&csrf=b", "application/x-www-form-urlencoded", 400),
    "empty": (b"", "application/x-www-form-urlencoded", 403),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FORMS)
@pytest.mark.parametrize("path", ["/console/chat", "/console/login", "/console/language"])
def test_bad_forms(browse: Callable[..., Any], name: str, path: str) -> None:
    content, kind, status = BAD_FORMS[name]
    user = browse("sato")
    answer = user.client.post(path, content=content, headers=SAME | ({"content-type": kind} if kind else {}))
    if path != "/console/chat" and name in ("twice", "empty"):
        assert answer.status_code in (303, 401)
    else:
        assert answer.status_code == status and "<h1>" in answer.text
    assert "Traceback" not in answer.text and user.get("/console/chat").status_code == 200


def test_markup_in_every_field_comes_out_as_text(server: Server, chief: Browser, browse: Callable[..., Any]) -> None:
    """Names, queries, comments, answers, groups, labels, filters, addresses, and what a browser calls itself."""
    accounts, name = server.running.authenticator.accounts, "<b>'\"&{{7*7}}"
    server.do(accounts.add(name, roles={Role.USER, Role.REVIEWER}, clearance="極秘", by="t", display=EVIL[:-1],
                           groups=["<i>g"], password=PASSWORD))  # fmt: skip
    evil = browse(**{"user-agent": "<script>ua</script>"})
    assert evil.login(name).status_code == 303
    seq = evil.seq_asked(HANDED + EVIL)
    chief.post(f"/console/review/{seq}", {"decision": "ALLOW", "comment": EVIL, "answer": EVIL})
    chief.post("/console/users/keys", {"name": name, "label": "<u>label", "days": "1", "role": "user"})
    chief.post(f"/console/review/{seq}", {"decision": EVIL, "comment": EVIL, "answer": EVIL})
    pages = [evil.get(p) for p in (f"/console/chat?after={seq}", f"/console/requests/{seq}", "/console/requests",
                                   "/console/account")]  # fmt: skip
    seen = (f"review/{seq}", "review", "audit", "users", f"audit/{seq}", f"audit/{seq + 2}", "monitor")
    pages += [chief.get(f"/console/{path}") for path in seen]
    pages += [chief.post(f"/console/audit/{n}/texts") for n in (seq, seq + 1, seq + 2) if n]
    pages.append(chief.get("/console/users/account", params={"name": name}))
    pages.append(chief.get("/console/audit", params={"actor": EVIL[:99]}))
    pages.append(chief.get("/console/audit", params={"kind": EVIL[:99]}))
    pages.append(chief.get(f"/console/{EVIL[:-1]}"))
    pages.append(chief.post("/console/users", {"name": EVIL, "clearance": EVIL[:50], "role": "user", "display": EVIL}))
    pages.append(chief.get("/console/login", params={"next": EVIL}))
    pages.append(chief.post("/console/login", {"name": EVIL, "password": EVIL, "next": EVIL}))
    assert len({answer.status_code for answer in pages}) > 1
    for answer in pages:
        where = str(answer.url)
        assert "<script>alert" not in answer.text and "<img" not in answer.text and "<script>ua" not in answer.text, (
            where
        )
        assert not re.search(r"<b>'|<i>g|<u>label", answer.text), where
        assert (
            "49" not in re.sub(r"[0-9a-f]{12,}|\d{3,}|:\d\d|>\d+<|\w+=\"[^\"]*\"", "", answer.text)
            or "{{7*7}}" in answer.text
        )
        assert "\u202e" not in answer.text and answer.text.count("</title>") <= 1 + answer.text.count("<svg"), where


def test_a_header_cannot_be_forged_through_a_name(chief: Browser, server: Server) -> None:
    answer = chief.post("/console/users/switch", {"name": "sato\r\nSet-Cookie: a=b", "to": "disable"})
    assert answer.status_code == 404 and "set-cookie" not in answer.headers


def test_guessing_is_slowed_down_and_told(browse: Callable[..., Any]) -> None:
    stranger = browse()
    answers = [stranger.login("sato", "ちがうあいことば") for _ in range(6)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0 and "試行が多すぎる" in answers[-1].text
    assert stranger.login("sato").status_code == 429


def test_a_disabled_account_is_out_at_once(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    server.do(server.running.authenticator.accounts.disable("sato", by="t"))
    answer = user.client.get("/console/chat")
    assert answer.status_code in (303, 403) and "query" not in answer.text
    assert user.login("sato").status_code == 401
