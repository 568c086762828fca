"""so8t users: accounts from the server's own machine; no password on the command line, none shown."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from so8t.commands import users as command
from so8t.core.errors import AccountInvalid, AccountUnknown, UsageError

PASSWORD = "垣根の曲り角 たき火"
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """run(action, name, **options) -> what --json printed, or the text with json=False."""

    def call(action: str, name: str = "", **given: Any) -> Any:
        defaults: dict[str, Any] = {
            "role": [], "clearance": "", "display": None, "group": None, "password_file": None, "no_password": False,
            "label": "", "days": 365.0, "end": False, "config": None, "policy": "demo", "db": tmp_path / "users.db",
            "json": True, "lang": "ja", "runs": tmp_path / "runs",
        }  # fmt: skip
        options = argparse.Namespace(action=action, name=name, **{**defaults, **given})
        assert command.users(options) == 0
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        return json.loads(out) if options.json else out

    return call


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\r\nsecond line\n", encoding="utf-8")
    return path


def reports(tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    db = apsw.Connection(str(tmp_path / "users.db"))
    found = [(event, json.loads(body)) for event, body in db.execute("SELECT event, body FROM pending ORDER BY seq")]
    db.close()
    return found


def test_first_administrator(run: Run, password: Path, tmp_path: Path) -> None:
    added = run("add", "山田", role=["admin", "user"], password_file=password)["users"][0]
    assert (added["name"], added["roles"], added["password"]) == ("山田", ["admin", "user"], True)
    assert added["clearance"] == "社内限定", "the policy's default"
    ((event, body),) = reports(tmp_path)
    assert event == "user_added" and body["actor"].startswith("cli:") and body["time"] > 0
    raw = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.name.startswith("users.db"))
    assert PASSWORD.encode() not in raw and b"$argon2id$v=19$m=65536,t=3,p=4$" in raw


def test_the_life_of_an_account(run: Run, password: Path, tmp_path: Path) -> None:
    run(
        "add",
        "taro",
        role=["user", "auditor"],
        clearance="部外秘",
        display="山田 太郎",
        group=["Sales"],
        no_password=True,
    )
    assert run("change", "TARO", role=["user"], clearance="公開")["users"][0]["roles"] == ["user"]
    assert run("password", "taro", password_file=password)["users"][0]["password"]
    issued = run("key", "taro", label="batch", days=0.0)
    assert issued["secret"].startswith(f"so8t_{issued['key']}_")
    assert run("disable", "taro")["users"][0]["disabled"] and not run("enable", "taro")["users"][0]["disabled"]
    shown = run("list", "taro")
    assert (
        shown["users"][0]["display"] == "山田 太郎" and shown["keys"][0]["label"] == "batch" and shown["sessions"] == []
    )
    assert issued["secret"] not in json.dumps(shown)
    assert run("revoke", issued["key"])["revoked"]["id"] == issued["key"]
    assert run("sessions", "taro", end=True) == {"sessions": []}
    assert [event for event, _ in reports(tmp_path)] == [
        "user_added", "user_changed", "password_changed", "key_issued", "user_disabled", "user_enabled", "key_revoked",
        "sessions_closed",
    ]  # fmt: skip
    assert issued["secret"] not in str(reports(tmp_path))


def test_a_key_has_the_roles_that_are_named(run: Run) -> None:
    run("add", "佐藤", role=["user", "reviewer"], no_password=True)
    plain = run("key", "佐藤")
    assert plain["roles"] == ["user"] and plain["not_given"] == ["reviewer"]
    assert "--role reviewer --role user" in run("key", "佐藤", json=False)
    both = run("key", "佐藤", role=["user", "reviewer"], json=False)
    assert "reviewer user" in both and "--role" not in both
    run("add", "田中", role=["auditor"], no_password=True)
    with pytest.raises(AccountInvalid, match="--role auditor"):
        run("key", "田中")
    assert run("key", "田中", role=["auditor"])["roles"] == ["auditor"]


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_tables_for_people(run: Run, lang: str) -> None:
    run("add", "taro", no_password=True)
    issued = run("key", "taro", json=False, lang=lang)
    assert issued.startswith("so8t_") and ("二度と" in issued if lang == "ja" else "not shown again" in issued)
    text = run("list", "taro", json=False, lang=lang)
    assert "taro" in text and "社内限定" in text and ("有効" if lang == "ja" else "active") in text
    identifier = issued.split("_")[1]
    assert identifier in text and identifier in run("revoke", identifier, json=False, lang=lang)
    run("disable", "taro")
    assert ("停止" if lang == "ja" else "disabled") in run("list", json=False, lang=lang)


def test_asked_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    said = iter([PASSWORD, PASSWORD, PASSWORD, "something else"])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(said))
    assert run("add", "taro")["users"][0]["password"]
    with pytest.raises(AccountInvalid, match="differ"):
        run("add", "hanako")
    assert [u["name"] for u in run("list")["users"]] == ["taro"]


def test_what_is_refused(run: Run, password: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="password-file"):
        run("add", "taro")  # no terminal to ask at
    with pytest.raises(UsageError):
        run("add", "")
    for content in (b"\xff\xfe", b"x" * 5000):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(UsageError):
            run("add", "taro", password_file=tmp_path / "bad")
    with pytest.raises(UsageError):
        run("add", "taro", password_file=tmp_path / "none")
    with pytest.raises(AccountInvalid):
        run("add", "taro", password_file=password, clearance="極秘中の極秘")
    with pytest.raises(AccountUnknown):
        run("disable", "taro")
    with pytest.raises(UsageError):
        run("sessions", end=True)
    with pytest.raises(AccountInvalid):
        run("sessions", "ta\r\nro", end=True)
    assert run("sessions") == {"sessions": []}
    with pytest.raises(AccountUnknown):
        run("revoke", "0" * 16)
    assert run("list") == {"users": []} and reports(tmp_path) == []


def test_the_configurations_own_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "so8t.toml").write_text('[serve.identity]\nusers = "people/users.db"\n', encoding="utf-8")
    run("add", "taro", no_password=True, db=None, config=tmp_path / "so8t.toml", policy="")
    assert (tmp_path / "people" / "users.db").is_file() and not (tmp_path / "users.db").exists()
