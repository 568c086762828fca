"""文書検索、議事録、メール in the browser: the same gateway, the same ledger, and pages one may come back to."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from console_server import Server
from office_server import ANSWER

from so8t.core.progress import Progress
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import update
from so8t.operate.search.store import IndexStore

MEETING = """司会: では棚卸しは三月二十日に行うことに決定します。
佐藤: はい、来週の金曜までに私が手順書を改訂して回します。
司会: 倉庫の照明は<b>次回</b>に持ち越しとします。"""
MAIL = {
    "purpose": "日程を連絡する",
    "points": "・三日に変わります\n場所は同じです",
    "register": "丁寧",
    "sender": "佐藤",
}


def indexed(server: Server, **texts: str) -> None:
    running = server.running
    for name, text in texts.items():
        (server.folder / "documents" / f"{name}.txt").write_text(text, encoding="utf-8")
    policy = running.policy.policy
    store = IndexStore(Path(running.config.search.index), policy.levels.names, write=True)
    update(store, folders_of(running.config.search, policy), policy, Progress(stream=io.StringIO()))
    store.close()


def test_minutes_from_the_form_to_the_page_of_the_request(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    assert "書き起こし" in user.get("/console/minutes").text
    fields = {"title": "三月定例", "date": "2026-03-01", "transcript": MEETING, "classification": "", "plain": "1"}
    answer = user.post("/console/minutes", fields)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/console/requests/")
    page = user.get(answer.headers["location"]).text
    assert "三月定例" in page and "来週の金曜まで" in page and 'href="#L2"' in page and 'id="L2"' in page
    assert "<b>次回</b>" not in page and "&lt;b&gt;" in page
    seq = int(answer.headers["location"].rpartition("/")[2])
    assert {"made", "order", "reply", "documents"} <= server.running.reader.texts(seq).keys()
    assert browse("suzuki").get(f"/console/requests/{seq}").status_code == 403


def test_three_hours_come_as_a_form_in_parts(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    transcript = "\n".join(f"佐藤: これは{n}番目の発言で、とくに何も決まりませんでした。" for n in range(9000))
    fields = {"title": "長い会議", "date": "", "transcript": transcript, "classification": "", "plain": "1"}
    parts = {name: (None, value) for name, value in {**fields, "csrf": user.csrf()}.items()}
    headers = {"sec-fetch-site": "same-origin"}
    answer = user.client.post("/console/minutes", files=parts, headers=headers)
    assert answer.status_code == 303, answer.text[-500:]
    assert 'id="L9000"' in user.get(answer.headers["location"]).text
    too_long = {**parts, "transcript": (None, "あ" * 800_000)}
    assert user.client.post("/console/minutes", files=too_long, headers=headers).status_code == 413


def test_a_mail_outside_waits_for_a_person_and_then_is_there(browse: Callable[..., Any]) -> None:
    user, reviewer = browse("sato"), browse("shonin")
    answer = user.post("/console/mail", MAIL | {"to": "client@customer.example", "classification": ""})
    page = user.get(answer.headers["location"]).text
    assert "判断待ち" in page and "下書き</h2>" not in page
    seq = answer.headers["location"].rpartition("/")[2]
    shown = reviewer.get(f"/console/review/{seq}").text
    assert "client@customer.example" in shown and "宛先に、社外の人がいます。" in shown
    assert "許可すると渡る文" in shown and "三日に変わります" in shown.split("許可すると渡る文")[1]
    decided = {"decision": "ALLOW", "comment": "取引先への定型の連絡", "answer": ""}
    assert reviewer.post(f"/console/review/{seq}", decided).status_code == 303
    page = user.get(f"/console/requests/{seq}").text
    assert "下書き</h2>" in page and "三日に変わります" in page and "社外" in page


def test_who_decides_about_minutes_reads_the_record(browse: Callable[..., Any]) -> None:
    user, reviewer = browse("sato"), browse("shonin")
    fields = {"title": "役員会", "date": "", "transcript": MEETING, "classification": "部外秘", "plain": "1"}
    seq = user.post("/console/minutes", fields).headers["location"].rpartition("/")[2]
    page = reviewer.get(f"/console/review/{seq}").text
    assert "読ませる資料" in page and "照明は&lt;b&gt;次回&lt;/b&gt;" in page


def test_a_mail_inside_is_there_at_once(browse: Callable[..., Any]) -> None:
    user = browse("sato")
    answer = user.post(
        "/console/mail", MAIL | {"to": "田中 <tanaka@example.co.jp>\n", "classification": "", "plain": "1"}
    )
    page = user.get(answer.headers["location"]).text
    assert "田中様" in page and "1. 三日に変わります" in page and "要点をそのまま並べた下書きです" in page


def test_search_shows_what_the_visitor_may_read_and_answers_from_it(browse: Callable[..., Any], server: Server) -> None:
    indexed(server, 旅費="旅費は<七日>以内に精算します。", 役員旅費="旅費の特例は役員だけです。")
    user = browse("sato")
    assert 'href="/console/search"' in user.get("/console/chat").text
    page = user.get("/console/search", params={"q": "旅費"}).text
    assert "<mark>" in page and "役員" not in page and "&lt;七日&gt;" in page
    assert re.search(r'class="count">1<', page)
    told = user.post("/console/search", {"query": "旅費"})
    assert told.status_code == 200 and "旅費は" in told.text and "役員" not in told.text
    assert ANSWER.split("。")[0] in told.text and "根拠なし" in told.text
    assert "見つかりません" in user.get("/console/search", params={"q": "ない言葉"}).text


def test_bad_forms(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    mail = MAIL | {"to": "a@example.co.jp", "classification": ""}
    for path, fields in (
        ("minutes", {"transcript": ""}), ("minutes", {"transcript": MEETING, "classification": "最高機密"}),
        ("minutes", {"transcript": MEETING, "title": "x" * 101}), ("mail", mail | {"to": ""}),
        ("mail", mail | {"to": "住所"}), ("mail", mail | {"register": "乱暴"}), ("mail", mail | {"points": "x" * 501}),
        ("mail", mail | {"to": "a@example.co.jp\n" * 101}), ("search", {"query": ""}),
    ):  # fmt: skip
        answer = user.post(f"/console/{path}", fields)
        assert answer.status_code == 400 and "<h1>" in answer.text, (path, fields)
    assert server.running.reader.entries(kinds=("decision",)) == []
