"""Every page for every role: who may open it, and what it must and must not show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from console_browser import Browser
from console_server import PEOPLE, Server, serving
from fake_machine import Machine
from office_server import SCORES

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import MonitorConfig
from so8t.operate.console.routes import PAGES
from so8t.operate.console.visit import MENU
from so8t.operate.identity.identity import Role
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.watch import Reference, watch_of

PLAIN, HANDED, FORBIDDEN = "会議の議事録を三行にまとめてください。", "人に聞くべき契約の件です。", "禁じる件です。"
WHO = {"kanri": Role.ADMIN, "sato": Role.USER, "shonin": Role.REVIEWER, "kansa": Role.AUDITOR}
SECRET_PAGES = {"/requests/{seq}": "sato", "/review/{seq}": "shonin", "/audit/{seq}": "kansa"}


def test_every_page_asks_who_you_are(server: Server, browse: Callable[..., Any]) -> None:
    stranger = browse()
    for page in PAGES:
        path = f"/console{page.path}".replace("{seq}", "1")
        answer = stranger.client.request(page.method, path, headers={"sec-fetch-site": "same-origin"})
        if page.method == "GET":
            assert answer.status_code == 303 and answer.headers["location"].startswith("/console/login?next=")
        else:
            assert answer.status_code == 401 and "/console/login" in answer.text
    assert server.running.reader.entries(kinds=("decision", "review")) == []


@pytest.mark.parametrize("who", WHO)
def test_each_role_has_its_pages_and_no_others(browse: Callable[..., Any], who: str) -> None:
    browser = browse("sato")
    seq = browser.seq_asked(HANDED)
    browser = browse(who)
    menu = re.findall(r'<li><a href="(/console/\w+)"', browser.get("/console").text)
    assert [p.path for p in MENU if WHO[who] in p.roles] == menu
    for page in PAGES:
        path = f"/console{page.path}".replace("{seq}", str(seq)).replace("{number}/{page}", "0/1")
        if page.method == "POST":
            if WHO[who] not in page.roles:
                assert browser.post(path).status_code == 403
            continue
        answer = browser.get(path, params={"name": "sato"} if page.path == "/users/account" else None)
        there = 400 if "/image/" in path else 200  # this request brought no image
        assert answer.status_code == (there if WHO[who] in page.roles else 403), (page.path, answer.text[-500:])
        if answer.status_code == 403 or page.path not in SECRET_PAGES:
            assert HANDED not in answer.text or page.path in ("/requests", "/chat")


def test_texts_are_for_the_asker_and_the_reviewer_alone(browse: Callable[..., Any]) -> None:
    seq = browse("sato").seq_asked(HANDED)
    other = browse("suzuki")
    for path in (f"/console/requests/{seq}", f"/console/chat?after={seq}"):
        assert other.get(path).status_code == 403 and HANDED not in other.get(path).text
    assert other.get(f"/console/requests/{seq}/state").json() == {"status": ""}
    answer = other.post("/console/chat", {"query": "続き", "after": str(seq), "classification": ""})
    assert answer.status_code == 403
    assert HANDED not in other.get("/console/requests").text
    assert HANDED in browse("shonin").get(f"/console/review/{seq}").text
    for path in ("/console/monitor", "/console/users", "/console/policy"):
        assert HANDED not in browse("kanri").get(path).text
    for path in ("/console/audit", f"/console/audit/{seq}"):
        assert HANDED not in browse("kansa").get(path).text


def test_a_page_says_what_it_should(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    seq = user.seq_asked(PLAIN)
    user.ask(FORBIDDEN)
    page = user.get(f"/console/chat?after={seq}").text
    assert "三行にまとめました。" in page and "許可" in page and f">{seq}</a>" in page and "DEF-1" in page
    assert "見本商事株式会社" in page and "日本標準時" in page and "社内限定" in page
    own = user.get("/console/requests").text
    assert PLAIN in own and FORBIDDEN in own and "拒否" in own
    auditor = browse("kansa")
    model = auditor.get("/console/model").text
    assert "未判定" in model and "ab" * 32 in model and "/console/model/card" in model
    policy = auditor.get("/console/policy").text
    assert "デモ用方針" in policy and "証明済みの方針そのもの" in policy and "exfil-private" in policy
    assert "学習の記録はありません" in auditor.get("/console/training").text
    monitor = auditor.get("/console/monitor").text
    assert "<svg" in monitor and "style=" not in monitor and "正常" in monitor


def test_an_error_is_told_in_the_readers_language(browse: Callable[..., Any]) -> None:
    """One language at a time, and a next step that is for who reads it."""
    seq = browse("sato").seq_asked(PLAIN)
    other = browse("suzuki")
    for path, ja, en in (
        (f"/console/chat?after={seq}", "ほかの人の依頼です", "another&#39;s request"),
        ("/console/nowhere", "最初のページからお入りください", "begin at the first page"),
    ):
        other.post("/console/language", {"to": "ja", "next": "/console"})
        page = other.get(path).text
        assert ja in page and en not in page and "ログを確かめて" not in page
        other.post("/console/language", {"to": "en", "next": "/console"})
        page = other.get(path).text
        assert en in page and ja not in page


def test_findings_of_the_host_monitor(server: Server, browse: Callable[..., Any]) -> None:
    """Off, nothing found, found, blind: in words, newest first, and what a program calls itself is no markup."""
    auditor, running = browse("kansa"), server.running
    assert "serve.monitor.watch" in auditor.get("/console/monitor").text
    machine = Machine(devices=None)
    watch = watch_of(MonitorConfig(), machine.system(), Reference(server.folder / "m.json", package=server.folder))
    running.monitor = Monitor(running.gateway, watch)
    assert "見張りを始めるところです" in auditor.get("/console/monitor").text
    server.do(running.monitor.begin())
    page = auditor.get("/console/monitor").text
    assert "から、所見はありません" in page and "見張り中" in page and "この OS では分からない" in page
    machine.runs(7, "/tmp/<b>x")
    machine.runs(8, "/memfd:y")
    server.do(running.monitor.tell([Finding("bypass", Severity.WARNING, "curl", {"model": "127.0.0.1:11434"})]))
    machine.error = PermissionError()
    server.do(running.monitor.look())
    page = auditor.get("/console/monitor").text
    assert "/tmp/&lt;b&gt;x" in page and "<b>x" not in page and page.index("/memfd:y") < page.index("/tmp/")
    assert "重大" in page and "注意" in page and "見えない" in page and "style=" not in page
    assert "次に" in page and "11434" in page
    auditor.post("/console/language", {"to": "en", "next": "/console/monitor"})
    assert "a program runs from memory" in auditor.get("/console/monitor").text


def test_the_card_can_do_nothing(browse: Callable[..., Any], server: Server) -> None:
    auditor = browse("kansa")
    answer = auditor.get("/console/model/card")
    policy = answer.headers["content-security-policy"]
    assert answer.text.startswith("<!doctype") and policy.startswith("sandbox;") and "script-src" not in policy
    (server.running.bundle.folder / "card.html").write_text("<script>evil</script>")
    answer = auditor.get("/console/model/card")
    assert answer.status_code == 500 and "evil" not in answer.text


def row(name: str, value: float, passed: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "bound": 0.5, "passed": passed}


def test_the_cards_figures_and_its_failures(browse: Callable[..., Any], server: Server) -> None:
    auditor, path = browse("kansa"), server.running.bundle.folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    result = {"n": 60, "macro_f1": 0.7, "refuse_recall": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 60}}
    card |= {
        "thresholds": {"passed": False, "rows": [row("macro_f1", 0.7, True), row("refuse_recall", 0.4, False)]},
        "deployed": "Q8_0", "results": {"Q8_0": {"splits": {"test": result}}}, "name": "<b>名",
    }  # fmt: skip
    path.write_text(json.dumps(card), encoding="utf-8")
    page = auditor.get("/console/model").text
    assert (
        "不合格" in page and "達していない" in page and "40.0 %" in page and "≥ 50.0 %" in page and "<b>名" not in page
    )
    path.write_text(json.dumps(card | {"payload_digest": "cd" * 32}), encoding="utf-8")
    assert "別の束のもの" in auditor.get("/console/model").text
    for junk in ("[]", "{", json.dumps(card | {"results": 5, "thresholds": "x", "policy": None, "created": []})):
        path.write_text(junk, encoding="utf-8")
        assert auditor.get("/console/model").status_code == 200
    path.unlink()
    assert "読めるカードがありません" in auditor.get("/console/model").text


def test_english_at_the_press_of_a_button(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    assert 'lang="ja"' in user.get("/console/chat").text
    answer = user.post("/console/language", {"to": "en", "next": "/console/requests?before=5"}, csrf="")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/requests?before=5")
    page = user.get("/console/requests").text
    assert '<html lang="en">' in page and "My requests" in page and "Log out" in page
    assert "No older requests" not in page and "私の依頼" not in page
    user.post("/console/language", {"to": "xx", "next": "/console"}, csrf="")
    assert '<html lang="ja">' in user.get("/console/requests").text


@pytest.mark.parametrize("who", PEOPLE)
def test_both_languages_work_everywhere(browse: Callable[..., Any], who: str) -> None:
    """StrictUndefined: a template that misses something fails, in either language."""
    browser = browse(who)
    for lang in ("en", "ja"):
        browser.post("/console/language", {"to": lang, "next": "/console"}, csrf="")
        for page in PAGES:
            if page.method == "GET" and "{" not in page.path and not PEOPLE[who][0].isdisjoint(page.roles):
                answer = browser.get(f"/console{page.path}", params={"name": "sato"})
                assert answer.status_code == 200, (page.path, lang)


def test_what_is_not_there_is_a_page(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    for path in ("/console/nothing", "/console/static/x", "/console/requests/x"):
        answer = user.get(path)
        assert answer.status_code in (400, 404) and "<h1>" in answer.text and "次に" in answer.text
    assert user.client.get("/console/nothing", headers={"accept": "application/json"}).json()["error"]["code"] == "H07"
    for path in ("/", "/console/"):
        assert user.client.get(path, follow_redirects=False).headers["location"] == "/console"
    assert user.client.get("/review/7", follow_redirects=False).headers["location"] == "/console/review/7"


def test_what_nobody_foresaw_says_nothing_of_the_inside(
    browse: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("inner secret")

    user = browse("sato")
    monkeypatch.setattr(type(server.running.gateway), "ask", broken)
    answer = user.post("/console/chat", {"query": "x", "after": "", "classification": ""})
    assert answer.status_code == 500 and "inner secret" not in answer.text and "ZeroDivision" not in answer.text
    assert "<h1>" in answer.text


def test_unproven_is_on_every_page(tmp_path: Any) -> None:
    with serving(tmp_path, FakeBackend(SCORES), unproven="card.json") as server:
        browser = Browser(server)
        assert "証明なしで動いています" in browser.get("/console/login").text
        browser.login("kansa")
        for path in ("/console/audit", "/console/model", "/console/account"):
            assert "証明なしで動いています" in browser.get(path).text
        assert "card.json" in browser.get("/console/model").text
        browser.client.close()
