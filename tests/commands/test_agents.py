"""so8t agents and so8t tools, the latter against a running server with a real tool server behind it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tool_server
from agent_files import OWN, little
from office_server import ANSWER, SCORES, Server, running

from so8t import cli
from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import AgentsConfig, ServeConfig

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def main(*arguments: object) -> tuple[int, str]:
        code = cli.main([*(str(a) for a in arguments), "--lang", "ja"])
        out = capsys.readouterr()
        return code, out.out + out.err

    return main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rules.toml").write_text(OWN, encoding="utf-8")
    path = tmp_path / "so8t.toml"
    path.write_text('[serve.agents]\nfolder = "own"\n', encoding="utf-8")
    return path


def test_list_names_what_is_left_out_and_why(call: Call, config: Path) -> None:
    code, out = call("agents", "list", "--config", config)
    assert code == 0 and "金融の窓口" in out and "見てよいものすべて" in out
    assert "使えません" in out and "rules.toml" in out and "folders: unknown '公開'" in out
    code, out = call("agents", "list", "--json")
    assert code == 0 and len(json.loads(out)["agents"]) == 8 and json.loads(out)["problems"] == {}


def test_show_and_check(call: Call, config: Path, tmp_path: Path) -> None:
    code, out = call("agents", "show", "medical", "--json")
    assert code == 0 and json.loads(out)["identity"]["role"] and json.loads(out)["policy"] == "medical"
    assert call("agents", "show", "nobody")[0] == 3 and call("agents", "show")[0] == 2
    own = tmp_path / "own" / "rules.toml"
    code, out = call("agents", "check", own)
    assert code == 0 and "規程を変えない" in out and "= ALLOW  旅費の規程" in out
    code, out = call("agents", "check", own, "--config", config)
    assert code == 11 and "folders" in out and "so8t agents check" in out
    own.write_text(OWN.replace('decision = "ALLOW"', 'decision = "DENY"'), encoding="utf-8")
    code, out = call("agents", "check", own, "--json")
    assert code == 1 and json.loads(out)["ok"] is False and json.loads(out)["judged"][0]["found"] == "ALLOW"
    own.write_text(OWN.replace("groups = []", "grops = []"), encoding="utf-8")
    code, out = call("agents", "check", own)
    assert code == 11 and "grops: unknown key -> groups?" in out and "rules.toml:" in out


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    program = Path(shutil.copy(tool_server.__file__, tmp_path / "little.py"))
    agents = AgentsConfig(packaged=False, pins=str(tmp_path / "tools.json"))
    settings = ServeConfig(agents=agents, tools=(little(program), little(program, name="gone", tools=("none",))))
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER), settings=settings) as started:
        (tmp_path / "admin.key").write_text(started.keys["admin"] + "\n", encoding="utf-8")
        (tmp_path / "user.key").write_text(started.keys["user"] + "\n", encoding="utf-8")
        yield started


def test_approving_shows_what_is_approved(server: Server, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("--server", server.address, "--key-file", "admin.key")
    code, out = call("tools", "list", *told)
    assert code == 0 and "plan/day" in out and "承認前" in out and "gone/none" in out and "見つからない" in out
    code, out = call("tools", "approve", "plan/day", *told)
    assert code == 2 and "+++ now" in out and "その日の予定を返す。" in out  # shown, and nobody there to say yes
    assert call("tools", "approve", "plan/none", *told)[0] == 3
    assert call("tools", "approve", "gone/none", *told)[0] == 3
    code, out = call("tools", "approve", "plan/day", "--yes", *told)
    assert code == 0 and "承認済み" in out
    assert call("tools", "approve", "plan/day", "--yes", *told)[0] == 1  # already
    rows = json.loads(call("tools", "list", "--json", *told)[1])["tools"]
    assert [row["state"] for row in rows] == ["approved", "gone"] and rows[0]["by"] == "admin"
    code, out = call("tools", "revoke", "plan/day", *told)
    assert code == 0 and "承認前" in out


def test_only_an_administrator(server: Server, call: Call) -> None:
    assert call("tools", "list", "--server", server.address, "--key-file", "user.key")[0] == 13
    assert call("tools", "list")[0] == 2 and call("tools", "approve", "--key-file", "admin.key")[0] == 2
