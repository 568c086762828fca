"""監査: finding entries, reading texts on record, and proving that nothing was changed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from console_server import Server
from office_server import closed_ledger

import so8t
from so8t.operate.console.ledger_words import EVENT_WORDS
from so8t.operate.monitor.finding import Finding, Severity

HANDED, SECRET = "人に聞くべき契約の件です。", "人に聞くべき【極秘】の件です。"


def seqs(page: str) -> list[int]:
    return [int(n) for n in re.findall(r'<th scope="row" class="n"><a href="/console/audit/(\d+)"', page)]


def test_filters(browse: Callable[..., Any], server: Server) -> None:
    asked = browse("sato").seq_asked(HANDED)
    other = browse("suzuki").seq_asked("会議の議事録を三行にまとめてください。")
    auditor = browse("kansa")

    def found(**values: Any) -> list[int]:
        return seqs(auditor.get("/console/audit", params=values).text)

    assert {asked, other} <= set(found()) and found() == sorted(found(), reverse=True)
    assert found(kind="decision") == [other, asked] and found(decision="ESCALATE") == [asked]
    assert found(actor="suzuki", kind="decision") == [other] and found(actor="nobody") == []
    assert found(since="2000-01-01", until="2099-12-31", kind="decision") == [other, asked]
    assert found(until="2000-01-01") == [] and found(since="2099-01-01") == []
    for bad in ({"kind": "x"}, {"decision": "maybe"}, {"since": "gestern"}, {"before": "x"}, {"actor": "a" * 101}):
        assert auditor.get("/console/audit", params=bad).status_code == 400
    server.do(many(server, 60))
    first = auditor.get("/console/audit", params={"kind": "note"}).text
    older = html.unescape(re.search(r'href="(/console/audit\?[^"]+)"', first)[1])  # type: ignore[index]
    assert len(seqs(first)) == 50 and len(seqs(auditor.get(older).text)) == 11  # and what agents it has


def test_what_happened_is_told_in_words(browse: Callable[..., Any], server: Server) -> None:
    found = Finding("listener", Severity.WARNING, "tcp 0.0.0.0:4444 <b>")
    body = {"event": "found", "actor": "server", **found.to_json(), "count": 1}
    server.do(server.running.gateway.note("finding", body))
    server.do(server.running.gateway.note("access", {"event": "searched", "actor": "sato"}))
    auditor = browse("kansa")
    page = auditor.get("/console/audit").text
    assert "基準にない待ち受けの口が開いています" in page and "0.0.0.0:4444 &lt;b&gt;" in page and "文書を検索" in page
    (entry,) = server.running.reader.entries(kinds=("finding",))
    assert "基準にない待ち受けの口" in auditor.get(f"/console/audit/{entry.seq}").text


def test_every_event_that_is_written_down_has_words() -> None:
    """Two are no ledger entries: lines of the notification file."""
    written = {
        name
        for path in Path(so8t.__file__).parent.rglob("*.py")
        for name in re.findall(r'"event": "([a-z_]+)"|\.change\("([a-z_]+)"', path.read_text(encoding="utf-8"))
        for name in name
        if name
    }
    assert len(written) > 20 and written - EVENT_WORDS.keys() == {"escalated", "finding"}


async def many(server: Server, count: int) -> None:
    for _ in range(count):
        await server.running.gateway.note("note", {"event": "test", "actor": "test"})


def test_reading_a_text_is_on_record_before_it_is_shown(browse: Callable[..., Any], server: Server) -> None:
    seq = browse("sato").seq_asked(HANDED)
    auditor = browse("kansa")
    page = auditor.get(f"/console/audit/{seq}").text
    assert HANDED not in page and "記録されます" in page
    reads = [e for e in server.running.reader.entries(kinds=("access",)) if e.data["event"] == "text_read"]
    assert reads == []
    assert HANDED in auditor.post(f"/console/audit/{seq}/texts").text
    (read,) = [e for e in server.running.reader.entries(kinds=("access",)) if e.data["event"] == "text_read"]
    assert (read.actor, read.data["seq"], read.data["of"]) == ("kansa", seq, "sato")
    assert read.data["texts"] == ["query", "reply"]


def test_no_text_without_its_record(
    browse: Callable[..., Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = browse("sato").seq_asked(HANDED)
    auditor = browse("kansa")
    token = auditor.csrf()
    monkeypatch.setattr(server.running.gateway, "ledger", closed_ledger(tmp_path / "closed"))
    answer = auditor.post(f"/console/audit/{seq}/texts", csrf=token)
    assert answer.status_code == 503 and HANDED not in answer.text


@pytest.mark.parametrize("stated", ["", "極秘"])
def test_no_auditor_reads_above_his_clearance(browse: Callable[..., Any], server: Server, stated: str) -> None:
    accounts = server.running.authenticator.accounts
    server.do(accounts.change("sato", by="test", clearance="極秘"))
    seq = browse("sato").seq_asked(HANDED if stated else SECRET, classification=stated)
    reviewer = browse("futari")
    reviewer.post(f"/console/review/{seq}", {"decision": "DENY", "comment": "理由は伏せる", "answer": ""})
    vote = server.running.reader.entries(kinds=("review",))[0].seq
    server.do(accounts.change("kansa", by="test", clearance="部外秘"))
    auditor = browse("kansa")
    for number in (seq, vote):
        answer = auditor.post(f"/console/audit/{number}/texts")
        assert answer.status_code == 403 and "の件です" not in answer.text and "伏せる" not in answer.text
    server.do(accounts.change("kansa", by="test", clearance="極秘"))
    assert "の件です" in auditor.post(f"/console/audit/{seq}/texts").text
    assert "理由は伏せる" in auditor.post(f"/console/audit/{vote}/texts").text


def test_an_entry_and_its_kin(browse: Callable[..., Any]) -> None:
    seq = browse("sato").seq_asked(HANDED)
    browse("shonin").post(f"/console/review/{seq}", {"decision": "DENY", "comment": "", "answer": ""})
    auditor = browse("kansa")
    page = auditor.get(f"/console/audit/{seq}").text
    assert "同じ依頼の記録" in page and "判断" in page and "opinions" in page
    assert auditor.get("/console/audit/1").status_code == 200
    for missing in ("0", "99999", "x"):
        assert auditor.get(f"/console/audit/{missing}").status_code == 400


def test_verify(browse: Callable[..., Any], server: Server) -> None:
    browse("sato").ask(HANDED)
    auditor = browse("kansa")
    page = auditor.post("/console/audit/verify", {"head": ""}).text
    assert "改変は見つかりませんでした" in page and "確かめた" in page
    head = server.running.gateway.ledger.head
    noted = f"{head.seq}: {head.head[:8]} {head.head[8:]}"
    assert "一致" in auditor.post("/console/audit/verify", {"head": noted}).text
    wrong = auditor.post("/console/audit/verify", {"head": f"{head.seq}:{'0' * 64}"}).text
    assert "異常があります" in wrong and "控えた最新ハッシュと違います" in wrong
    for bad in ("x", "1:zz", f"1:{'a' * 63}", f"-1:{'a' * 64}"):
        assert auditor.post("/console/audit/verify", {"head": bad}).status_code == 400


def test_the_head_to_copy_down_is_the_ledgers(browse: Callable[..., Any], server: Server) -> None:
    page = browse("kansa").get("/console/audit").text
    head = server.running.gateway.ledger.head
    shown = re.sub(r"<[^>]+>", "", re.search(r'<code class="digest wide">(.*?)</code>', page)[1])  # type: ignore[index]
    assert shown == f"{head.seq}:{head.head}"


def test_verify_finds_what_was_changed(browse: Callable[..., Any], server: Server) -> None:
    seq = browse("sato").seq_asked(HANDED)
    auditor = browse("kansa")
    database = apsw.Connection(str(server.folder / "ledger.db"))
    for trigger in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f'DROP TRIGGER "{trigger[0]}"')
    database.execute("UPDATE entries SET actor = 'suzuki' WHERE seq = ?", (seq,))
    database.close()
    page = auditor.post("/console/audit/verify", {"head": ""}).text
    assert "異常があります" in page and f">{seq}</a>" in page and "検索用の列が本文と違います" in page


def test_one_verification_at_a_time(
    browse: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from so8t.operate.console import audit

    answers: list[int] = []
    auditor = browse("kansa")
    token = auditor.csrf()
    second = browse("kansa")
    other = second.csrf()

    def within(*_: Any, **__: Any) -> Any:
        answers.append(second.post("/console/audit/verify", {"head": ""}, csrf=other).status_code)
        raise LookupError

    monkeypatch.setattr(audit, "verify_ledger", within)
    assert auditor.post("/console/audit/verify", {"head": ""}, csrf=token).status_code == 500
    assert answers == [503]
    monkeypatch.undo()
    assert auditor.post("/console/audit/verify", {"head": ""}, csrf=token).status_code == 200
