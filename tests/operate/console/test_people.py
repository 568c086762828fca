"""利用者: adding, changing, stopping; keys and sessions; all of it on record by its maker."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from console_server import PASSWORD, Server

NEW = {"name": "新人", "display": "新人 太郎", "clearance": "社内限定", "role": ["user", "reviewer"],
       "groups": "法務\n総務", "password": "ことしの 桜は 早い"}  # fmt: skip


def last(server: Server) -> tuple[str, str | None]:
    entry = server.running.reader.entries(kinds=("access",), newest_first=True, limit=1)[0]
    return entry.data["event"], entry.actor


def test_added_and_in(browse: Callable[..., Any], server: Server) -> None:
    admin = browse("kanri")
    answer = admin.post("/console/users", NEW)
    assert answer.status_code == 303 and last(server) == ("user_added", "kanri")
    page = admin.get(answer.headers["location"]).text
    assert "新人 太郎" in page and "法務" in page and NEW["password"] not in page
    assert browse().login("新人", NEW["password"]).status_code == 303


@pytest.mark.parametrize("bad", [
    {"name": "sato"}, {"name": "a\u202eb"}, {"role": []}, {"clearance": "最高"}, {"password": "short"}, {"name": ""},
    {"password": "パスワード1"},
])  # fmt: skip
def test_a_refused_form_comes_back_filled_in(browse: Callable[..., Any], server: Server, bad: dict[str, Any]) -> None:
    admin = browse("kanri")
    answer = admin.post("/console/users", NEW | bad)
    assert answer.status_code == 400 and 'role="alert"' in answer.text and "新人 太郎" in answer.text
    assert NEW["password"] not in answer.text and len(server.running.authenticator.accounts.list()) == 6


def test_changed_stopped_started(browse: Callable[..., Any], server: Server) -> None:
    admin, user = browse("kanri"), browse("sato")
    change = {"name": "sato", "display": "佐藤", "role": ["user", "auditor"], "clearance": "部外秘", "groups": ""}
    assert admin.post("/console/users/change", change).status_code == 303 and last(server) == ("user_changed", "kanri")
    assert "監査" in user.get("/console/chat").text
    assert admin.post("/console/users/switch", {"name": "sato", "to": "disable"}).status_code == 303
    assert user.client.get("/console/chat").status_code in (303, 403)
    assert "停止中" in admin.get("/console/users").text
    assert admin.post("/console/users/switch", {"name": "sato", "to": "enable"}).status_code == 303
    assert admin.post("/console/users/switch", {"name": "sato", "to": "x"}).status_code == 400
    assert admin.post("/console/users/change", change | {"role": "king"}).status_code == 400
    for path in ("/console/users/switch", "/console/users/change", "/console/users/password"):
        fields = change | {"name": "nobody", "to": "disable", "password": NEW["password"]}
        assert admin.post(path, fields).status_code == 404


def test_the_last_administrator_stays(browse: Callable[..., Any]) -> None:
    admin = browse("kanri")
    answer = admin.post("/console/users/switch", {"name": "kanri", "to": "disable"})
    assert answer.status_code == 400 and "最後の管理者" in answer.text
    fields = {"name": "kanri", "role": "user", "clearance": "極秘", "display": "", "groups": ""}
    assert admin.post("/console/users/change", fields).status_code == 400


def test_a_reset_password_ends_sessions(browse: Callable[..., Any], server: Server) -> None:
    admin, user = browse("kanri"), browse("sato")
    assert admin.post("/console/users/password", {"name": "sato", "password": "みじかい"}).status_code == 400
    answer = admin.post("/console/users/password", {"name": "sato", "password": NEW["password"]})
    assert answer.status_code == 303 and last(server) == ("password_changed", "kanri")
    assert user.client.get("/console/chat").status_code == 303 and user.login("sato", PASSWORD).status_code == 401


def test_a_key_is_shown_once(browse: Callable[..., Any], server: Server) -> None:
    admin = browse("kanri")
    fields = {"name": "sato", "label": "夜間の集計", "days": "30", "role": "user"}
    page = admin.post("/console/users/keys", fields).text
    secret = re.search(r"so8t_[0-9a-f]{16}_[\w-]{43}", page)[0]  # type: ignore[index]
    headers = {"authorization": f"Bearer {secret}"}
    assert browse().client.get("/v1/models", headers=headers).status_code == 200
    again = admin.get("/console/users/account", params={"name": "sato"}).text
    assert secret not in again and "夜間の集計" in again and secret[5:21] in again
    assert admin.post("/console/users/keys/revoke", {"key": secret[5:21]}).status_code == 303
    assert last(server) == ("key_revoked", "kanri")
    assert browse().client.get("/v1/models", headers=headers).status_code == 401
    assert admin.post("/console/users/keys/revoke", {"key": secret[5:21]}).status_code == 404
    for bad, status in (
        ({"days": "x"}, 400),
        ({"days": "99999"}, 400),
        ({"role": "admin"}, 400),
        ({"name": "no"}, 404),
    ):
        assert admin.post("/console/users/keys", fields | bad).status_code == status


def test_sessions_are_ended(browse: Callable[..., Any]) -> None:
    admin, user, other = browse("kanri"), browse("sato"), browse("sato")
    page = admin.get("/console/users").text
    session = re.search(r'value="sato"><input type="hidden" name="session" value="(\w+)"', page)[1]  # type: ignore[index]
    admin.post("/console/users/sessions", {"name": "sato", "session": session})
    assert sorted(b.client.get("/console/chat").status_code for b in (user, other)) == [200, 303]
    admin.post("/console/users/sessions", {"name": "sato", "all": "1"})
    assert [b.client.get("/console/chat").status_code for b in (user, other)] == [303, 303]


def test_who_is_not_there(browse: Callable[..., Any]) -> None:
    answer = browse("kanri").get("/console/users/account", params={"name": "だれか"})
    assert answer.status_code == 404 and "<h1>" in answer.text
