"""文書検索、議事録、メール in the browser: the same gateway, the same ledger, and pages one may come back to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from console_server import Server, indexed
from office_server import ANSWER

MEETING = """司会: では棚卸しは三月二十日に行うことに決定します。
佐藤: はい、来週の金曜までに私が手順書を改訂して回します。
司会: 倉庫の照明は<b>次回</b>に持ち越しとします。"""
MAIL = {
    "purpose": "日程を連絡する",
    "points": "・三日に変わります\n場所は同じです",
    "register": "丁寧",
    "sender": "佐藤",
}


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
    nothing = user.get("/console/search", params={"q": "ない言葉"}).text
    assert "見つかりません" in nothing and "一部の語" not in nothing


def events(browser: Any, query: str) -> list[dict[str, Any]]:
    headers = {"accept": "text/event-stream", "sec-fetch-site": "same-origin"}
    fields = {"query": query, "csrf": browser.csrf()}
    answer = browser.client.post("/console/search", data=fields, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    return [json.loads(part.removeprefix("data: ")) for part in answer.text.split("\n\n")[:-1]]


def test_an_answer_comes_sentence_by_sentence_and_ends_as_the_same_page(
    browse: Callable[..., Any], server: Server
) -> None:
    indexed(server, 旅費="旅費は<七日>以内に精算します。三行にまとめました。")
    user = browse("sato")
    page = user.get("/console/search", params={"q": "旅費"}).text
    assert 'id="answer"' in page and 'id="live"' in page and "console.js" in page and "<script>" not in page
    verdict, *sentences, last = events(user, "旅費")
    assert verdict["decision"] == "ALLOW" and verdict["words"] == "許可"
    assert [one["sentence"]["source"] for one in sentences] == [1, None, None]
    assert "".join(one["sentence"]["text"] for one in sentences) == ANSWER
    plain = user.post("/console/search", {"query": "旅費"}).text
    number = re.compile(r"requests/\d+\">\d+")
    assert body(number.sub("", last["page"])) == body(number.sub("", plain)) and "&lt;七日&gt;" in plain
    assert f'requests/{verdict["seq"]}"' in last["page"] and "根拠なし" in plain and 'href="#D1"' in plain
    page = user.get(f"/console/requests/{verdict['seq']}").text
    assert ANSWER in page and "旅費.txt" in page


def body(page: str) -> str:
    return page.partition("<main")[2].partition("</main>")[0]


def test_no_answer_says_why(browse: Callable[..., Any], server: Server) -> None:
    indexed(server, 旅費="人に聞くべき旅費は七日以内に精算します。")
    user = browse("sato")
    told = events(user, "人に聞くべき旅費")
    assert told[0]["decision"] == "ESCALATE" and "判断が必要です" in told[1]["notice"] and "人へ回す" in told[2]["page"]
    notice, last = events(user, "ない言葉")
    assert "見つかりません" in notice["notice"] and "見つかりません" in body(last["page"])
    server.running.pool.replicas[0].backend.answer = "三行です。電話は 090-1234-5678 です。"  # type: ignore[attr-defined]
    *_, last = events(user, "旅費")
    assert "三行です。" in last["page"] and "差し止め" in last["page"] and "090" not in last["page"]


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
