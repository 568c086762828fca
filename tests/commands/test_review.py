"""so8t review, against a running server and on its ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from office_server import ANSWER, SCORES, Server, running

from so8t import cli
from so8t.ask.backend import FakeBackend
from so8t.core.packaged import policy_text
from so8t.core.types import Request
from so8t.decide.policy import parse_policy

ASKED = "人に聞くべき契約の件です。"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, FakeBackend(SCORES, answer=ANSWER)) as started:
        (tmp_path / "reviewer.key").write_text(started.keys["reviewer"] + "\n", encoding="utf-8")
        yield started


@pytest.fixture
def call(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def main(*arguments: object) -> tuple[int, str]:
        told = ["--server", server.address, "--key-file", tmp_path / "reviewer.key"]
        code = cli.main([str(a) for a in ("review", *arguments, *told)])
        out = capsys.readouterr()
        return code, out.out + out.err

    return main


def handed(server: Server, query: str = ASKED) -> int:
    request = Request("q", query, "社内限定", user="user")
    future = asyncio.run_coroutine_threadsafe(server.gateway.ask(request), server.loop)
    return future.result(30).ledger_seq


def test_list_show_approve(server: Server, call: Call) -> None:
    seq = handed(server)
    code, out = call("list")
    assert code == 0 and str(seq) in out and "判断待ち" in out and "+00:00" not in out
    shown = call("show", seq)[1]
    assert ASKED in shown and "依頼者(権限): user (社内限定)" in shown and "当たった規則: -" in shown
    code, out = call("approve", seq, "--comment", "一般論", "--json")
    assert code == 0 and json.loads(out)["status"] == "allowed"
    code, out = call("reject", seq)
    assert code == 13 and "その引き継ぎはもう決まっています" in out and "次に:" in out  # as if it had been said here
    assert call("list")[1].strip() == "判断を待つ依頼はありません。"


def test_what_is_missing_is_said(server: Server, capsys: pytest.CaptureFixture[str], call: Call) -> None:
    assert cli.main(["review", "list"]) == 2 and "--key-file" in capsys.readouterr().err
    code, out = call("approve")
    assert code == 2 and "NUMBER" in out


def test_export_is_what_people_decided(server: Server, call: Call, tmp_path: Path) -> None:
    allowed, refused, _ = handed(server), handed(server, "人に聞くべき別の件です。"), handed(server, "人に聞く三つめ。")
    call("approve", allowed, "--answer", "担当へどうぞ。")
    call("reject", refused)
    out, key = tmp_path / "reviewed.jsonl", server.running.config.ledger.text_key
    assert call("export", "--out", out, "--ledger", server.ledger_path, "--text-key", key)[0] == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(r["query"], r["decision"], r["response"], r["by"]) for r in rows] == [
        (ASKED, "ALLOW", "担当へどうぞ。", "reviewer"), ("人に聞くべき別の件です。", "DENY", None, "reviewer"),
    ]  # fmt: skip
    from so8t.build.data.own import load_own

    assert [s.decision for s in load_own([str(out)], parse_policy(*policy_text("demo")))] == ["ALLOW", "DENY"]
