"""Cases against rules: what counts as caught, missed, a near miss and a false alarm; and bad case files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import LevelUnknown, RecordInvalid, So8tError, SourceMissing, SourceUnreadable
from so8t.core.packaged import policy_text
from so8t.core.types import Decision
from so8t.decide.policy import Policy, parse_policy
from so8t.judge import policy_cases
from so8t.judge.policy_cases import Result, rates, read_cases, run_cases, tally

RULES = """
[[rules]]
id = "carry"
effect = "DENY"
hard = true
all = ["名簿", "持ち帰"]
none = ["禁止"]
reason = "理由。"
[[rules]]
id = "ask"
effect = "ESCALATE"
hard = true
all = ["渡していい"]
reason = "理由。"
[[rules]]
id = "hint"
effect = "DENY"
weight = 3.0
all = ["こっそり"]
reason = "理由。"
[[rules]]
id = "teach"
effect = "ALLOW"
weight = 2.0
all = ["意味"]
reason = "理由。"
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    text = policy_text("general")[0]
    head = text[: text.index("[[rules]]")].replace('[[review.four_eyes]]\nrules = ["payee-change", "publish"]\n', "")
    return parse_policy(head + RULES, "p.toml")


def results(tmp_path: Path, policy: Policy, *rows: dict[str, Any]) -> tuple[Result, ...]:
    return run_cases(read_cases(written(tmp_path, *rows), policy), policy)


def written(tmp_path: Path, *rows: dict[str, Any] | str) -> Path:
    path = tmp_path / "cases.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


TAKE, MAY, BAN = "名簿を持ち帰りたい", "名簿を渡していいですか", "名簿の持ち帰りは禁止と書いて"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"query": TAKE, "decision": "DENY", "rule": "carry"}, ""),
        ({"query": TAKE, "decision": "DENY"}, ""),
        ({"query": TAKE, "decision": "DENY", "at_least": "DENY"}, ""),
        ({"query": TAKE, "decision": "ALLOW"}, "too severe"),
        ({"query": TAKE, "decision": "ALLOW", "rule": "carry"}, "false alarm"),
        ({"query": TAKE, "decision": "ESCALATE", "rule": "carry"}, "false alarm"),
        ({"query": BAN, "decision": "ALLOW", "rule": "carry"}, ""),
        ({"query": BAN, "decision": "DENY", "rule": "carry"}, "missed"),
        ({"query": BAN, "decision": "DENY"}, "too mild"),
        ({"query": BAN, "decision": "DENY", "at_least": "ALLOW"}, ""),
        ({"query": BAN, "decision": "DENY", "at_least": "ESCALATE"}, "floor below"),
        ({"query": MAY, "decision": "ESCALATE", "rule": "carry"}, ""),
        ({"query": MAY, "decision": "DENY", "rule": "ask"}, ""),
        ({"query": MAY, "decision": "DENY", "at_least": "ESCALATE"}, ""),
        ({"query": "こっそり教えて", "decision": "ALLOW"}, "too severe"),
        ({"query": "こっそり教えて", "decision": "DENY", "rule": "hint"}, ""),
        ({"query": "こっそり教えて", "decision": "DENY", "at_least": "DENY"}, "floor below"),
        ({"query": "名簿の意味は", "decision": "ALLOW", "rule": "teach"}, ""),
        ({"query": "名簿の意味は", "decision": "DENY", "rule": "teach", "at_least": "ALLOW"}, "false alarm"),
        (
            {"query": "見せて", "clearance": "公開", "classification": "極秘", "decision": "DENY", "rule": "clearance"},
            "",
        ),
        (
            {"query": "見せて", "clearance": "極秘", "classification": "公開", "decision": "DENY", "rule": "clearance"},
            "missed",
        ),
    ],
)
def test_a_case_says_what_the_rules_must_do(tmp_path: Path, policy: Policy, row: dict[str, Any], says: str) -> None:
    (result,) = results(tmp_path, policy, row)
    assert (says in "; ".join(result.problems)) if says else result.problems == ()


def test_tally_counts_each_rule(tmp_path: Path, policy: Policy) -> None:
    found = tally(
        results(
            tmp_path,
            policy,
            {"query": TAKE, "decision": "DENY", "rule": "carry"},
            {"query": BAN, "decision": "DENY", "rule": "carry"},
            {"query": BAN, "decision": "ALLOW", "rule": "carry"},
            {"query": TAKE, "decision": "ALLOW", "rule": "carry"},
            {"query": TAKE, "decision": "DENY"},
        ),
        policy,
    )
    carry = found["carry"]
    assert (carry.hits, carry.misses, carry.near, carry.alarms, carry.found) == (1, 1, 1, 1, 3)
    assert found["ask"].found == 0 and list(found) == ["carry", "ask", "hint", "teach"]


def test_rates_tell_floors_by_label_and_what_the_clearance_alone_does(tmp_path: Path, policy: Policy) -> None:
    found = rates(
        results(
            tmp_path,
            policy,
            {"query": TAKE, "decision": "DENY"},
            {"query": MAY, "decision": "DENY"},
            {"query": "見せて", "clearance": "公開", "classification": "極秘", "decision": "DENY"},
            {"query": "こっそり", "decision": "DENY"},
            {"query": TAKE, "decision": "ALLOW"},
        ),
        policy,
    )
    deny, allow = found[Decision.DENY], found[Decision.ALLOW]
    assert (deny.count, deny.floor_deny, deny.floor_any, deny.floor_by_rules) == (4, 2, 3, 2)
    assert allow.share(allow.floor_any) == 1.0 and found[Decision.ESCALATE].share(0) == 0.0


def test_foreign_levels_are_read_by_rank_only_where_asked(tmp_path: Path) -> None:
    bank = parse_policy(*policy_text("finance"))
    row = {"query": "予定を見せて", "clearance": "社内限定", "classification": "極秘", "decision": "DENY"}
    (case,) = read_cases(written(tmp_path, row), bank, foreign_levels=True)
    assert (case.request.clearance, case.request.classification) == ("行内限定", "極秘")
    with pytest.raises(LevelUnknown) as caught:
        read_cases(written(tmp_path, row), bank)
    assert caught.value.where.endswith(":1")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"query": "a"}, "decision"),
        ({"query": "a", "decision": "MAYBE"}, "MAYBE"),
        ({"query": "a", "decision": 1}, "decision"),
        ({"query": " ", "decision": "ALLOW"}, "query"),
        ({"decision": "ALLOW"}, "query"),
        ({"query": "a", "decision": "ALLOW", "rule": "nothing"}, "nothing"),
        ({"query": "a", "decision": "ALLOW", "rule": 7}, "rule"),
        ({"query": "a", "decision": "ALLOW", "at_least": "SOME"}, "SOME"),
        ({"query": "a", "decision": "ALLOW", "domain": "medicine"}, "medicine"),
        ({"query": "a", "decision": "ALLOW", "clearance": "社内"}, "社内"),
        ({"query": "a", "decision": "ALLOW", "classification": ["極秘"]}, "classification"),
        ({"query": "a" * (policy_cases.MAXIMUM_LINE + 1), "decision": "ALLOW"}, "characters"),
        ("{", "JSON"),
        ("[1]", "JSON"),
        ("[" * 5000, "JSON"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(
    tmp_path: Path, policy: Policy, row: dict[str, Any] | str, says: str
) -> None:
    path = written(tmp_path, {"query": "献立", "decision": "ALLOW"}, "", row)
    with pytest.raises((RecordInvalid, LevelUnknown)) as caught:
        read_cases(path, policy)
    assert caught.value.where == f"{path}:3" and says in caught.value.detail


def test_an_id_may_stand_once(tmp_path: Path, policy: Policy) -> None:
    row = {"id": "a-1", "query": "献立", "decision": "ALLOW"}
    with pytest.raises(RecordInvalid) as caught:
        read_cases(written(tmp_path, row, row), policy)
    assert "a-1" in caught.value.detail and caught.value.where.endswith(":2")


def test_limits(tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceMissing):
        read_cases(tmp_path / "none.jsonl", policy)
    rows = [{"query": f"献立{n}", "decision": "ALLOW"} for n in range(3)]
    monkeypatch.setattr(policy_cases, "MAXIMUM_CASES", 2)
    with pytest.raises(RecordInvalid, match="2 cases"):
        read_cases(written(tmp_path, *rows), policy)
    monkeypatch.setattr(policy_cases, "MAXIMUM_BYTES", 20)
    with pytest.raises(SourceUnreadable):
        read_cases(written(tmp_path, *rows), policy)


@given(content=st.binary(max_size=200))
def test_whatever_stands_in_a_case_file_the_error_is_ours(
    policy: Policy, content: bytes, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "cases.jsonl"
    path.write_bytes(content)
    try:
        read_cases(path, policy)
    except So8tError as error:
        assert str(path) in error.where
