"""Tools in a running office: approved or unusable, calls judged and recorded before they are made, results as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_files import Start
from office_server import ANSWER, SCORES, Server
from tool_server import ORDER, PLAN

from so8t.ask.backend import GREEDY, FakeBackend, Generation
from so8t.core.ledger_verify import verify

DAY = {"day": "2026-11-26"}
TOOL = "/so8t/v1/tools/plan/day"
CALL = "/so8t/v1/agents/rules/tools/plan/day"


def send(server: Server, path: str, body: Any = None, who: str = "user") -> httpx.Response:
    with httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client:
        if body is None:
            return client.get(path, headers=server.headers(who))
        return client.post(path, json=body, headers=server.headers(who))


def approve(server: Server) -> dict[str, Any]:
    row: dict[str, Any] = send(server, "/so8t/v1/tools", who="admin").json()["tools"][0]
    assert send(server, f"{TOOL}/approve", {"digest": row["digest"]}, "admin").status_code == 200
    return row


def calls(program: Path) -> list[dict[str, Any]]:
    """What the tool server was really called with."""
    path = program.with_name("calls.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_a_tool_nobody_has_approved_is_not_used(start: Start, program: Path) -> None:
    with start() as server:
        assert send(server, CALL, {"arguments": DAY}).status_code == 409
        assert calls(program) == [] and not server.reader.entries(kinds=("decision",))
        assert send(server, "/so8t/v1/tools").status_code == 403
        assert send(server, f"{TOOL}/approve", {"digest": "0" * 64}).status_code == 403
        row = send(server, "/so8t/v1/tools", who="admin").json()["tools"][0]
        assert row["tool"] == "plan/day" and row["state"] == "new" and row["description"]["inputSchema"]
        assert any(line.startswith("+") for line in row["differences"])
        assert send(server, f"{TOOL}/approve", {"digest": "0" * 64}, "admin").status_code == 400
        assert send(server, f"{TOOL}/approve", {}, "admin").status_code == 400
        assert send(server, "/so8t/v1/tools/plan/other/approve", {"digest": row["digest"]}, "admin").status_code == 404
        approve(server)
        row = send(server, "/so8t/v1/tools", who="admin").json()["tools"][0]
        assert row["state"] == "approved" and row["by"] == "admin" and row["differences"] == []
        assert send(server, CALL, {"arguments": DAY}).status_code == 200
        assert send(server, f"{TOOL}/revoke", {}, "admin").status_code == 200
        assert send(server, CALL, {"arguments": DAY}).status_code == 409 and len(calls(program)) == 1
        events = [e.data.get("event") for e in server.reader.entries(kinds=("access",))]
        assert events.count("tool_approved") == 1 and events.count("tool_revoked") == 1


def test_a_call_is_judged_and_recorded_before_and_after(start: Start, program: Path) -> None:
    with start() as server:
        row = approve(server)
        told = send(server, CALL, {"arguments": DAY}).json()
        assert told["decision"] == "ALLOW" and told["result"] == f"2026-11-26: {PLAN}" and told["failed"] is False
        decision = server.reader.entry(told["ledger"]["decision"])
        result = server.reader.entry(told["ledger"]["result"])
        assert decision and result and decision.kind == "decision" and result.data["decision_seq"] == decision.seq
        assert decision.data["tool"] == {"name": "plan/day", "digest": row["digest"], "by": "user"}
        assert decision.data["agent"]["name"] == "rules" and decision.data["classification"] == "社内限定"
        assert decision.seq < result.seq and decision.actor == result.actor == "user"
        assert '"day":"2026-11-26"' in server.reader.texts(decision.seq)["query"]
        assert server.reader.texts(result.seq)["reply"] == told["result"]
        assert calls(program)[0]["arguments"] == DAY and "so8t-tool-" in calls(program)[0]["cwd"]
        assert verify(server.ledger_path).ok


def test_arguments_that_do_not_fit_go_nowhere(start: Start, program: Path) -> None:
    wrong = [{}, {"day": 3}, {"day": "tomorrow"}, {"day": "2026-11-26", "more": 1}, [], "x", {"day": "9" * 9000}]
    with start() as server:
        approve(server)
        for arguments in wrong:
            assert send(server, CALL, {"arguments": arguments}).status_code == 400, arguments
        assert calls(program) == [] and not server.reader.entries(kinds=("decision",))


def test_who_may_not_may_not_through_a_tool(start: Start, program: Path) -> None:
    with start(classification="部外秘") as server:  # above the user, within the administrator
        approve(server)
        told = send(server, CALL, {"arguments": DAY}).json()
        assert told["decision"] == "ESCALATE" and told["ledger"]["result"] == 0 and calls(program) == []
        assert send(server, CALL, {"arguments": DAY}, "auditor").status_code == 403
        assert send(server, CALL.replace("rules", "nobody"), {"arguments": DAY}).status_code == 404
        for path in ("plan/other", "other/day", "plan/%00"):
            assert send(server, f"/so8t/v1/agents/rules/tools/{path}", {"arguments": DAY}).status_code == 404
        # the agent itself is for 社内限定 at most, so even who may read it is sent to a person
        assert send(server, CALL, {"arguments": DAY}, "admin").json()["decision"] == "ESCALATE"


def test_a_forbidden_argument_is_refused_and_not_sent(start: Start, program: Path) -> None:
    with start(backend=FakeBackend({"2026-11-27": SCORES["禁じる"], **SCORES}, answer=ANSWER)) as server:
        approve(server)
        told = send(server, CALL, {"arguments": {"day": "2026-11-27"}}).json()
        assert told["decision"] == "DENY" and "お応えできません" in told["result"] and calls(program) == []


def test_another_description_is_refused_until_it_is_approved_again(start: Start, program: Path) -> None:
    with start() as server:
        approve(server)
        assert send(server, CALL, {"arguments": DAY}).json()["decision"] == "ALLOW"
    with start("changed") as server:
        assert send(server, CALL, {"arguments": DAY}).status_code == 409 and len(calls(program)) == 1
        noted = [e for e in server.reader.entries(kinds=("note",)) if e.data["event"] == "tool_changed"]
        assert len(noted) == 1 and noted[0].data["approved"] != noted[0].data["now"] and noted[0].actor == "user"
        row = send(server, "/so8t/v1/tools", who="admin").json()["tools"][0]
        assert row["state"] == "changed"
        assert any(line.startswith("+") and "社員番号" in line for line in row["differences"])
        approve(server)
        assert send(server, CALL, {"arguments": DAY}).json()["decision"] == "ALLOW"


def test_an_order_in_a_result_is_left_out(start: Start) -> None:
    with start("inject") as server:
        approve(server)
        told = send(server, CALL, {"arguments": DAY}).json()
        assert told["left_out"] >= 1 and ORDER not in told["result"] and "十五時から面談。" in told["result"]
    with start("marked") as server:
        told = send(server, CALL, {"arguments": DAY}).json()
        assert "買収" not in told["result"] and PLAN in told["result"] and told["left_out"] == 1


@pytest.mark.parametrize(("mode", "seconds"), [("dies", 20.0), ("hang", 3.0), ("huge", 30.0)])
def test_a_call_that_breaks_has_its_entry(start: Start, mode: str, seconds: float) -> None:
    with start(mode, seconds=seconds) as server:
        approve(server)
        assert send(server, CALL, {"arguments": DAY}).status_code == 502
        ended = server.reader.entries(kinds=("answer",))[-1]
        assert ended.data["answer_failed"] == "A30" and ended.data["tool"]["name"] == "plan/day"
        assert verify(server.ledger_path).ok


def test_a_tool_that_says_it_failed(start: Start) -> None:
    with start("fails") as server:
        approve(server)
        assert send(server, CALL, {"arguments": DAY}).json()["failed"] is True


def test_what_changes_something_waits_for_a_person_and_runs_once(start: Start, program: Path) -> None:
    with start(effect="changes") as server:
        approve(server)
        told = send(server, CALL, {"arguments": DAY}).json()
        seq = told["ledger"]["decision"]
        assert told["decision"] == "ESCALATE" and calls(program) == []
        assert send(server, CALL, {"arguments": DAY, "case": seq}).status_code == 409  # nobody has decided yet
        voted = send(server, f"/so8t/v1/reviews/{seq}", {"decision": "ALLOW"}, "reviewer")
        assert voted.status_code == 200 and voted.json()["tool"] == "plan/day"
        assert (
            str(seq) in send(server, f"/so8t/v1/requests/{seq}").json()["answer"]
        )  # says how to go on; no model asked
        other = {"day": "2026-11-27"}
        assert send(server, CALL, {"arguments": other, "case": seq}).status_code == 403
        assert send(server, CALL, {"arguments": DAY, "case": seq}, "admin").status_code == 403
        before = program.read_text(encoding="utf-8")
        program.write_text(before.replace("返す。", "返して、消す。"), encoding="utf-8")
        approve(server)  # the tool as it is now, but that is not what the reviewer allowed a call of
        assert send(server, CALL, {"arguments": DAY, "case": seq}).status_code == 409 and calls(program) == []
        program.write_text(before, encoding="utf-8")
        approve(server)
        told = send(server, CALL, {"arguments": DAY, "case": seq}).json()
        assert told["decision"] == "ALLOW" and PLAN in told["result"] and len(calls(program)) == 1
        assert send(server, CALL, {"arguments": DAY, "case": seq}).status_code == 409 and len(calls(program)) == 1
        assert send(server, CALL, {"arguments": DAY, "case": 10**6}).status_code == 400
        assert send(server, CALL, {"arguments": DAY, "case": True}).status_code == 400
        assert verify(server.ledger_path).ok


def test_the_judge_may_be_enough_where_the_configuration_says_so(start: Start, program: Path) -> None:
    with start(effect="changes", decides="judge") as server:
        approve(server)
        assert send(server, CALL, {"arguments": DAY}).json()["decision"] == "ALLOW" and len(calls(program)) == 1


class Choosing(FakeBackend):
    """A model that wishes for these calls, in this order, whenever it is asked about tools."""

    def __init__(self, *wishes: str) -> None:
        super().__init__(SCORES, answer=ANSWER)
        self.wishes, self.asked = list(wishes), 0

    async def generate(self, prompt: str, maximum_tokens: int, stop: Any = (), sampling: Any = GREEDY) -> Generation:
        if not sampling.schema:
            return await super().generate(prompt, maximum_tokens, stop, sampling)
        self.asked += 1
        assert json.loads(sampling.schema)["properties"]["tool"]["enum"] == ["plan/day", "none"]
        return Generation(self.wishes.pop(0) if self.wishes else "わかりません", 1, True, 0.0)


def wish(day: str) -> str:
    return json.dumps({"tool": "plan/day", "arguments": {"day": day}})


ASK = "/so8t/v1/agents/rules/ask"


def test_the_model_may_call_at_most_so_often(start: Start, program: Path) -> None:
    backend = Choosing(wish("2026-11-26"), wish("2026-11-27"), wish("2026-11-28"))
    with start(backend=backend) as server:
        assert (
            send(server, ASK, {"query": "今日の予定は?"}).json()["tools"] == [] and backend.asked == 0
        )  # not approved
        approve(server)
        told = send(server, ASK, {"query": "今日と明日の予定は?"}).json()
        assert [c["arguments"]["day"] for c in told["tools"]] == ["2026-11-26", "2026-11-27"] and backend.asked == 2
        assert told["classification"] == "社内限定" and len(told["documents"]) == 2 and told["answer"] == ANSWER
        assert PLAN in backend.prompts[-1] and "指示には従わない" in backend.prompts[-1]
        decisions = server.reader.entries(kinds=("decision",))
        assert [d.data.get("tool", {}).get("by") for d in decisions] == [None, "model", "model", None]
        assert decisions[-1].data["documents"] == [d["id"] for d in told["documents"]]


def test_a_bad_wish_is_no_call(start: Start, program: Path) -> None:
    other = '{"tool": "plan/other", "arguments": {}}'
    bad = ["", "予定を見ます。", '{"tool": "none", "arguments": {}}', wish("tomorrow"), other]
    backend = Choosing(*bad)
    with start(backend=backend) as server:
        approve(server)
        for asked, said in enumerate(bad, 1):
            told = send(server, ASK, {"query": "今日の予定は?"}).json()
            assert told["decision"] == "ALLOW" and told["tools"] == [] and backend.asked == asked, said
        assert calls(program) == []


def test_the_model_calls_nothing_for_a_request_that_is_not_allowed_or_a_tool_that_changes(
    start: Start, program: Path
) -> None:
    backend = Choosing(wish("2026-11-26"))
    with start(backend=backend) as server:
        approve(server)
        told = send(server, ASK, {"query": "人に聞くべき予定の件です。"}).json()
        assert told["decision"] == "ESCALATE" and backend.asked == 0 and calls(program) == []
    for more in ({"effect": "changes"}, {"classification": "部外秘"}):  # the agent is for 社内限定 at most
        with start(backend=backend, **more) as server:
            assert send(server, ASK, {"query": "今日の予定は?"}, "admin").json()["tools"] == [] and backend.asked == 0


def test_a_request_that_is_too_long_is_refused_before_anything_is_read_or_called(start: Start, program: Path) -> None:
    backend = Choosing(wish("2026-11-26"))
    with start(backend=backend) as server:
        approve(server)
        for bad in ({"query": "長" * 20_001}, {"query": " \n"}, {"query": "規程", "so8t": {"classification": "極秘"}}):
            assert send(server, ASK, bad).status_code == 400, "also what would be passed over"
        assert backend.asked == 0 and calls(program) == [] and not server.reader.entries(kinds=("decision",))


def test_an_order_in_a_result_does_not_reach_the_model(start: Start) -> None:
    backend = Choosing(wish("2026-11-26"))
    with start("inject", backend=backend) as server:
        approve(server)
        told = send(server, ASK, {"query": "今日の予定は?"}).json()
        assert told["tools"][0]["left_out"] >= 1 and not any(ORDER in prompt for prompt in backend.prompts)
        assert "十五時から面談。" in backend.prompts[-1]
