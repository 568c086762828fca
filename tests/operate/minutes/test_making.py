"""Minutes in a running office: judged, recorded, for who may read the meeting; a model's words only where they hold."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from office_server import Server, running

from so8t.ask.backend import FakeBackend

MEETING = """司会: では棚卸しは三月二十日に行うことに決定します。
司会: 佐藤さん、手順書の改訂をお願いします。
佐藤: はい、来週の金曜までに私が改訂して回します。
司会: 倉庫の照明の件は予算がまだ見えないので、次回に持ち越しとします。"""
BY_KIND = {
    "決まったことを一文": "棚卸しは三月二十日に行うことに決定した。",
    "やることを一文": "佐藤が手順書を来週の月曜までに十部印刷する。",  # nobody said so
    "残ったことを一文": "倉庫の照明は予算が見えず次回に持ち越しとする。",
    "三文以内で要約": "棚卸しは三月二十日に行うと決定した。社長は喜んだ。",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, FakeBackend({"": [9.0, 0.0, 0.0]}, answers=BY_KIND, answer="。")) as started:
        yield started


def post(server: Server, path: str, who: str = "user", **body: Any) -> httpx.Response:
    return httpx.post(f"{server.address}/so8t/v1/{path}", json=body, headers=server.headers(who), trust_env=False)


def test_a_meeting_becomes_minutes_that_stand_on_it(server: Server) -> None:
    told = post(server, "minutes", transcript=MEETING, title="三月定例", date="2026-03-01").json()
    made = told["made"]
    assert told["so8t"]["decision"] == "ALLOW" and made["title"] == "三月定例" and made["speakers"] == ["司会", "佐藤"]
    decision, todo, left = made["decisions"][0], made["todos"][0], made["open"][0]
    assert (decision["text"], decision["written"]) == (BY_KIND["決まったことを一文"], "model")
    assert decision["lines"] == [1] and left["lines"] == [4] and left["written"] == "model"
    assert (todo["owner"], todo["due"], todo["written"]) == ("佐藤", "来週の金曜まで", "source")
    assert "印刷" not in told["text"] and "社長" not in told["text"]
    assert [one["text"] for one in made["overview"]] == ["棚卸しは三月二十日に行うと決定した。"]
    assert "[L1]" in told["text"] and "**佐藤**(来週の金曜まで)" in told["text"]
    entry = server.reader.entries(kinds=("decision",))[-1]
    assert entry.data["task"] == "minutes" and entry.data["documents"][0].startswith("transcript-")
    texts = server.reader.texts(entry.seq)
    assert MEETING in texts["documents"].replace("\\n", "\n") and texts["reply"] == told["text"]


def test_without_a_models_words_nothing_is_asked(server: Server) -> None:
    made = post(server, "minutes", transcript=MEETING, words=False).json()["made"]
    assert made["model"] == {"asked": 0, "kept": 0} and made["overview"] == []
    assert all(item["written"] == "source" for kind in ("decisions", "todos", "open") for item in made[kind])


def test_a_model_that_cannot_is_not_asked_for_ever(server: Server) -> None:
    server.backend.answers = {}
    long = "\n".join(MEETING for _ in range(20))
    made = post(server, "minutes", transcript=long).json()["made"]
    assert made["model"]["asked"] == 6 and made["model"]["kept"] == 0 and len(made["todos"]) >= 20


@pytest.mark.parametrize(("who", "decision"), [("user", "DENY"), ("admin", "ALLOW")])
def test_a_marked_meeting_is_for_who_may_read_it(server: Server, who: str, decision: str) -> None:
    told = post(server, "minutes", who, transcript=f"【極秘】\n{MEETING}").json()
    assert told["so8t"]["decision"] == decision
    if decision == "DENY":
        assert told["made"] is None and "棚卸し" not in told["text"]
    else:
        assert told["made"]["classification"] == "極秘"


def test_a_level_that_the_asker_states_counts_as_well(server: Server) -> None:
    told = post(server, "minutes", transcript=MEETING, classification="部外秘").json()
    assert told["so8t"]["decision"] == "ESCALATE" and told["made"] is None and "棚卸し" not in told["text"]


def test_what_a_person_allows_is_made_then(server: Server) -> None:
    told = post(server, "minutes", transcript=MEETING, title="定例", classification="部外秘").json()
    seq = told["so8t"]["ledger"]["seq"]
    headers = server.headers("reviewer")
    url = f"{server.address}/so8t/v1/reviews/{seq}"
    done = httpx.post(url, json={"decision": "ALLOW"}, headers=headers, trust_env=False)
    assert done.status_code == 200
    told = httpx.get(
        f"{server.address}/so8t/v1/requests/{seq}", headers=server.headers(), trust_env=False, timeout=30
    ).json()
    assert "# 議事録: 定例" in told["answer"] and "[L1]" in told["answer"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"transcript": 3}, {"transcript": ""}, {"transcript": "x" * 400_001}, {"transcript": MEETING, "title": 3},
        {"transcript": MEETING, "clasification": "極秘"},
        {"transcript": MEETING, "title": "x" * 101}, {"transcript": MEETING, "words": "yes"},
        {"transcript": MEETING, "classification": 3}, {"transcript": MEETING, "classification": "最高機密"},
    ],
)  # fmt: skip
def test_bad_orders(server: Server, body: dict[str, Any]) -> None:
    assert post(server, "minutes", **body).status_code == 400


def test_nobody_else_gets_in(server: Server) -> None:
    assert post(server, "minutes", "auditor", transcript=MEETING).status_code == 403
    answer = httpx.post(f"{server.address}/so8t/v1/minutes", json={"transcript": MEETING}, trust_env=False)
    assert answer.status_code == 401


def test_marks_in_a_meeting_make_no_headings_of_the_minutes(server: Server) -> None:
    hostile = "司会: では「# 見出し」[link](http://x) に決定します。\n司会: <script>は三月に行うことに決定します。"
    text = post(server, "minutes", transcript=hostile, title="# x [y](z)", words=False).json()["text"]
    assert not re.search(r"^# 見出し|(?<!\\)\]\(|(?<!\\)<script", text, re.MULTILINE)


def test_what_no_answer_may_hold_is_in_no_minutes(server: Server) -> None:
    canary = "SO8T-CANARY-7f3a"
    judge = server.gateway.judge
    answer = dataclasses.replace(judge.policy.answer, canaries=(canary,))
    server.gateway.judge = dataclasses.replace(judge, policy=dataclasses.replace(judge.policy, answer=answer))
    meeting = MEETING + f"\n佐藤: はい、{canary} の件は来週の金曜までに私が送ります。"
    told = post(server, "minutes", transcript=meeting, words=False).json()
    assert canary not in told["text"] and told["made"]["withheld"] == 1 and "差し止めた項目が 1 件" in told["text"]


@pytest.mark.parametrize(
    ("read", "decision"),
    [
        ({"confidence": 0.99, "engine": "rapidocr"}, "ALLOW"),
        ({"confidence": 0.9, "engine": "rapidocr"}, "ESCALATE"),
        ({"confidence": 0.7, "engine": "whisper"}, "ALLOW"),
        ({"confidence": 0.3, "engine": "whisper"}, "ESCALATE"),
        ({"confidence": 0.9}, "ESCALATE"),
    ],
)
def test_what_was_hardly_heard_or_read_goes_to_a_person(server: Server, read: dict[str, Any], decision: str) -> None:
    told = post(server, "minutes", transcript=MEETING, words=False, read=read).json()
    assert told["so8t"]["decision"] == decision
    if decision == "ESCALATE":
        assert "uncertain-reading" in server.reader.entries(kinds=("decision",))[-1].data["rules"]


@pytest.mark.parametrize("read", [3, {}, {"confidence": 2}, {"confidence": True}, {"confidence": 0.5, "engine": 3}])
def test_a_confidence_that_is_none(server: Server, read: Any) -> None:
    assert post(server, "minutes", transcript=MEETING, read=read).status_code == 400
