"""承認待ち: what a reviewer sees and does, and what he must not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from console_browser import Browser
from console_server import Server, eyes, serving
from office_server import SCORES

from so8t.ask.backend import FakeBackend
from so8t.core.types import Decision, Domain
from so8t.judge.precedent import Case
from so8t.operate.identity.identity import Role

HANDED = "人に聞くべき契約の件です。"
ALLOW = {"decision": "ALLOW", "comment": "一般論", "answer": ""}


def test_a_case_shows_what_a_decision_needs(browse: Callable[..., Any]) -> None:
    seq = browse("sato").seq_asked(HANDED, classification="部外秘")
    reviewer = browse("shonin")
    queue = reviewer.get("/console/review").text
    assert (
        f'href="/console/review/{seq}"' in queue and "情報管理責任者" in queue and "あと" in queue and "部外秘" in queue
    )
    page = reviewer.get(f"/console/review/{seq}").text
    for words in (
        HANDED,
        "三者の意見",
        "合議",
        "規則",
        "モデル",
        "判断例",
        "clearance",
        "下限",
        "区分と権限",
        "sato",
        "96.5 %",
    ):
        assert words in page
    assert page.count('class="bar ') >= 6 and page.count("●") == 2 and page.count("■") == 1
    assert "似た先例はありません" in page


def test_decided_once_and_for_all(browse: Callable[..., Any], server: Server) -> None:
    seq = browse("sato").seq_asked(HANDED)
    reviewer = browse("shonin")
    assert reviewer.post(f"/console/review/{seq}", ALLOW).status_code == 303
    again = reviewer.post(f"/console/review/{seq}", {**ALLOW, "decision": "DENY"})
    assert again.status_code == 409 and "<h1>" in again.text
    page = reviewer.get(f"/console/review/{seq}").text
    assert "許可されました" in page and "一般論" in page and "許可する" not in page
    assert len(server.running.reader.entries(kinds=("review",))) == 1
    assert f"/console/review/{seq}" in reviewer.get("/console/review").text


@pytest.mark.parametrize(
    "bad", [{"decision": ""}, {"decision": "ESCALATE"}, {"decision": "DENY", "answer": "私の答え"}]
)
def test_a_refused_form_keeps_what_was_written(browse: Callable[..., Any], server: Server, bad: dict[str, str]) -> None:
    seq = browse("sato").seq_asked(HANDED)
    reviewer = browse("shonin")
    answer = reviewer.post(f"/console/review/{seq}", ALLOW | {"comment": "大事な理由"} | bad)
    assert answer.status_code == 400 and "大事な理由" in answer.text and bad.get("answer", "") in answer.text
    assert 'role="alert"' in answer.text and server.running.reader.entries(kinds=("review",)) == []


def test_not_above_ones_clearance_and_not_ones_own(browse: Callable[..., Any], server: Server) -> None:
    accounts = server.running.authenticator.accounts
    server.do(accounts.change("shonin", by="test", roles={Role.USER, Role.REVIEWER}, clearance="社内限定"))
    reviewer = browse("shonin")
    above = browse("sato").seq_asked(HANDED, classification="部外秘")
    own = reviewer.seq_asked(HANDED)
    listed = reviewer.get("/console/review").text
    for seq in (above, own):
        assert f"/console/review/{seq}" not in listed
        assert reviewer.get(f"/console/review/{seq}").status_code == 403
        assert reviewer.post(f"/console/review/{seq}", ALLOW).status_code == 403
        answer = reviewer.post(f"/console/review/{seq}/assign", {"target": "法務部"})
        assert answer.status_code == 403
    assert server.running.reader.entries(kinds=("review",)) == []


def test_four_eyes(tmp_path: Path) -> None:
    with serving(tmp_path, FakeBackend(SCORES), policy=eyes(*Domain)) as server:
        user, first, second = (Browser(server) for _ in range(3))
        for browser, name in ((user, "sato"), (first, "shonin"), (second, "futari")):
            browser.login(name)
        seq = user.seq_asked(HANDED)
        assert "二人の一致が必要" in first.get(f"/console/review/{seq}").text
        first.post(f"/console/review/{seq}", ALLOW)
        assert "二人目の判断待ち" in first.get(f"/console/review/{seq}").text
        assert "二人目の判断待ち" in user.get(f"/console/requests/{seq}").text
        page = second.get(f"/console/review/{seq}").text
        assert "shonin" in page and "一般論" in page and "許可する" in page
        second.post(f"/console/review/{seq}", {**ALLOW, "decision": "DENY"})
        assert "拒否されました" in user.get(f"/console/requests/{seq}").text
        for browser in (user, first, second):
            browser.client.close()


def test_handed_on(browse: Callable[..., Any], server: Server) -> None:
    seq = browse("sato").seq_asked(HANDED)
    reviewer = browse("shonin")
    targets = {place.escalation_target for place in server.running.policy.policy.domains.values()}
    other = sorted(targets - {"情報管理責任者"})[0]
    assert f"<option>{other}</option>" in reviewer.get(f"/console/review/{seq}").text
    assert reviewer.post(f"/console/review/{seq}/assign", {"target": other}).status_code == 303
    assert other in reviewer.get(f"/console/review/{seq}").text
    assert reviewer.post(f"/console/review/{seq}/assign", {"target": "どこか"}).status_code == 400


def test_past_its_deadline_it_is_a_refusal(browse: Callable[..., Any], server: Server) -> None:
    user, reviewer = browse("sato"), browse("shonin")
    seq = user.seq_asked(HANDED)
    now = server.running.reviews.now
    server.running.reviews.now = lambda: now() + timedelta(hours=25)
    assert "判断を待つ依頼はありません" in reviewer.get("/console/review").text
    assert reviewer.post(f"/console/review/{seq}", ALLOW).status_code == 409
    assert "期限切れ" in user.get(f"/console/requests/{seq}").text
    server.running.reviews.now = lambda: now() + timedelta(hours=23)
    assert 'class="due soon"' in reviewer.get("/console/review").text


def test_precedents_of_people_only_for_whom_they_concern(tmp_path: Path) -> None:
    cases = [
        Case("seed-1", "人に聞くべき契約の見本です。", Decision.ESCALATE, "kit"),
        Case("review-99999", "人に聞くべき契約の、よその台帳の件です。", Decision.DENY, "x"),
    ]
    with serving(tmp_path, FakeBackend(SCORES), cases=cases, policy=eyes()) as server:
        user, low, high = (Browser(server) for _ in range(3))
        for browser, name in ((user, "sato"), (low, "shonin"), (high, "futari")):
            browser.login(name)
        server.do(server.running.authenticator.accounts.change("sato", by="t", clearance="部外秘"))
        past = user.seq_asked("人に聞くべき契約の秘密の件です。", classification="極秘")
        high.post(f"/console/review/{past}", ALLOW)
        seq = user.seq_asked(HANDED)
        seen = {who: browser.get(f"/console/review/{seq}").text for who, browser in (("low", low), ("high", high))}
        for page in seen.values():
            assert re.search(rf"review-[0-9a-f]{{8}}-{past}\b", page) and "人に聞くべき契約の見本です。" in page
            assert "review-99999" in page and "よその台帳" not in page
        assert "秘密の件" in seen["high"] and "秘密の件" not in seen["low"] and "担当か権限の外" in seen["low"]
        for browser in (user, low, high):
            browser.client.close()


def test_a_disguise_is_shown_beside_its_plain_reading(browse: Callable[..., Any]) -> None:
    seq = browse("sato").seq_asked("人に聞くべき契\u200b約の件です。")
    page = browse("shonin").get(f"/console/review/{seq}").text
    assert "U+200B" in page and "読みやすく直した文" in page and "人に聞くべき契約の件です。" in page
