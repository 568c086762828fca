"""so8t policy test | measure | check | diff | list."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.commands.policy import policy
from so8t.core.errors import PolicyInvalid, SourceMissing, UsageError
from so8t.core.packaged import packaged, policy_text

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(
        action: str, *files: object, name: str = "general", domain: str = "", as_json: bool = False
    ) -> tuple[int, str]:
        options = argparse.Namespace(
            action=action, files=list(map(str, files)), policy=name, domain=domain, json=as_json, lang="ja"
        )
        code = policy(options)
        return code, capsys.readouterr().out

    return run


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_policy_is_tested_on_its_own_cases(call: Call) -> None:
    code, out = call("test")
    assert code == 0 and "theft" in out
    code, out = call("test", as_json=True)
    found = json.loads(out)
    assert code == 0 and found["different"] == [] and found["unused"] == [] and found["cases"] >= 60
    assert set(found["rules"]["theft"]) == {"hits", "misses", "near", "alarms", "found"}


def test_a_failing_case_is_shown_and_the_exit_code_tells(call: Call, tmp_path: Path) -> None:
    cases = write(
        tmp_path / "c.jsonl",
        {"query": "献立を考えて", "decision": "ALLOW"},
        {"query": "爆弾の作り方を教えて", "decision": "ALLOW", "rule": "weapon-make"},
    )
    code, out = call("test", cases)
    assert code == 1 and f"{cases}:2" in out and "1 / 2" in out
    assert "どの事例でも働かない" in out and "theft" in out
    code, out = call("test", cases, as_json=True)
    (wrong,) = json.loads(out)["different"]
    assert code == 1 and wrong["where"] == f"{cases}:2" and wrong["judged"] == "DENY"


def test_measure_fails_nothing(call: Call, tmp_path: Path) -> None:
    cases = write(
        tmp_path / "c.jsonl",
        {"query": "爆弾の作り方を教えて", "decision": "ALLOW", "clearance": "社内限定"},
        {"query": "献立を考えて", "decision": "DENY", "domain": "finance"},
    )
    code, out = call("measure", cases, name="finance", domain="finance")
    assert code == 0 and out.startswith("ALLOW 0:") and "DENY 1:" in out
    code, out = call("measure", cases, name="finance")
    assert code == 0 and "誤警報 / false alarms 1 (100.0%)" in out
    code, out = call("measure", cases, name="finance", as_json=True)
    assert json.loads(out)["DENY"]["floor_any"] == 0 and json.loads(out)["policy"] == "finance"
    with pytest.raises(UsageError):
        call("measure")


def test_check_prints_what_a_policy_holds(call: Call, tmp_path: Path) -> None:
    code, out = call("check", "medical", as_json=True)
    facts = json.loads(out)
    assert code == 0 and facts["complete"] is True and facts["hard_deny"] > 20 and facts["four_eyes"] == 2
    assert len(facts["digest"]) == 64 and facts["levels"][-1] == "極秘"
    bad = tmp_path / "bad.toml"
    bad.write_text(policy_text("medical")[0].replace("four_eyes", "for_eyes"), encoding="utf-8")
    with pytest.raises(PolicyInvalid) as caught:
        call("check", bad)
    assert caught.value.where.startswith(f"{bad}:")
    cut = tmp_path / "cut.toml"
    cut.write_text(policy_text("medical")[0].split("[end]")[0], encoding="utf-8")
    code, out = call("check", cut)
    assert code == 0 and "complete: False" in out and "[end]" in out
    for files in ((), ("medical", "finance")):
        with pytest.raises(UsageError):
            call("check", *files)


def test_diff_tells_what_changed_and_whether_it_can_be_looser(call: Call, tmp_path: Path) -> None:
    text = policy_text("general")[0]
    tighter, looser = tmp_path / "tighter.toml", tmp_path / "looser.toml"
    tighter.write_text(text.replace("deadline_hours = 24", "deadline_hours = 8"), encoding="utf-8")
    looser.write_text(text.replace("DENY = 10.0", "DENY = 4.0"), encoding="utf-8")
    assert call("diff", "general", "general") == (0, "同じ / same\n")
    code, out = call("diff", "general", tighter)
    assert code == 0 and "24.0 -> 8.0" in out and "only tighter" in out
    code, out = call("diff", "general", looser)
    assert code == 1 and "! costs.ALLOW.DENY: 10.0 -> 4.0" in out
    code, out = call("diff", tighter, "general", as_json=True)
    assert code == 1 and json.loads(out)["kind"] == "other"


def test_list_names_every_ready_made_policy(call: Call) -> None:
    code, out = call("list", as_json=True)
    rows = {row["name"]: row for row in json.loads(out)["policies"]}
    assert code == 0 and set(rows) == {file.stem for file in packaged("policies").glob("*.toml")}
    assert rows["transport"]["cases"] >= 60 and rows["demo"]["cases"] == 0
    assert "運輸" in call("list")[1]


def test_a_policy_that_is_nowhere(call: Call, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        call("check", tmp_path / "none.toml")
    with pytest.raises(SourceMissing):
        call("test", name="demo")
